internal import ArgumentParser
private import VTAModule

struct DisassembleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disassemble",
    abstract: "Prints the instructions of a module, layer by layer, with the micro-ops that they load.")

  @Argument(help: "The compiled model, a .vtab file.")
  var module: String

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() throws {
    let file = try ModuleInput.read(module).file
    let listing: ModuleListing
    do { listing = try ModuleListing(file.module) } catch { throw Failure(module, error) }
    if json { try JSONOutput.print(listing) } else { listing.printText() }
  }
}
