internal import ArgumentParser
private import VTAModule
private import VTARuntime

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Checks a module as loading it would, and lists everything that is wrong with its programs.",
    discussion: "Exits with 1 if there are findings.")

  @Argument(help: "The compiled model, a .vtab file.", completion: .file(extensions: ["vtab"]))
  var module: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() throws {
    let (bytes, file) = try ModuleInput.read(module)
    let report = VerificationReport(
      file: module,
      findings: ModuleVerification.findings(in: file.module).map { .init(program: $0.program, $0.finding) },
      signers: try ModuleInput.signers(of: bytes, at: module))
    try VerificationReport.print([report], json: json ? report : nil)
  }
}
