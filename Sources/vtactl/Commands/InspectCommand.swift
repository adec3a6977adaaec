internal import ArgumentParser
private import VTAModule

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect", abstract: "Shows what a module holds: tensors, steps, sizes, target, digest.")

  @Argument(help: "The compiled model, a .vtab file.")
  var module: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() throws {
    let summary = ModuleSummary(try ModuleInput.read(module).file)
    if json { try JSONOutput.print(summary) } else { summary.printText() }
  }
}
