internal import ArgumentParser
private import VTAModule
private import VTARuntime

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Checks a module as loading it would, and lists everything that is wrong with its programs.",
    discussion: "Exits with 1 if there are findings.")

  private struct Report: Encodable {
    struct Finding: Encodable {
      let program: Int
      let instruction: Int?
      let message: String
    }
    let file: String
    let findings: [Finding]
  }

  @Argument(help: "The compiled model, a .vtab file.")
  var module: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() throws {
    let file = try ModuleInput.read(module).file
    let findings = ModuleVerification.findings(in: file.module).map {
      Report.Finding(program: $0.program, instruction: $0.instruction, message: $0.message)
    }
    if json {
      try JSONOutput.print(Report(file: module, findings: findings))
    } else if findings.isEmpty {
      print("\(module): ok")
    } else {
      for finding in findings { print("\(module): program \(finding.program): \(finding.message)") }
    }
    if !findings.isEmpty { throw ExitCode.failure }
  }
}
