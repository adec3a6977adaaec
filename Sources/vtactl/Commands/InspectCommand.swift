internal import ArgumentParser
private import VTAModule

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Shows what a module holds: tensors, steps, sizes, target, digest, signers."
  )

  @Argument(help: "The compiled model, a .vtab file.", completion: .file(extensions: ["vtab"]))
  var module: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() throws {
    let (bytes, file) = try ModuleInput.read(module)
    let summary = ModuleSummary(file, signers: try ModuleInput.signers(of: bytes, at: module))
    if json { try JSONOutput.print(summary) } else { summary.printText() }
  }
}
