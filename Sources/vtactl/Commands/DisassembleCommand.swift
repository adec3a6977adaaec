internal import ArgumentParser
private import VTAModule

struct DisassembleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "disassemble",
    abstract: "Prints a module as assembly text.",
    discussion: """
      vtactl assemble makes the same module of the text. The syntax is described in Documentation/Assembly.md.
      """)

  @Argument(help: "The compiled model, a .vtab file.", completion: .file(extensions: ["vtab"]))
  var module: String

  @Flag(help: "Leave out what constant regions hold; assemble then needs --constants-from.")
  var omitConstants = false

  @Flag(help: "Print the instructions as JSON instead.")
  var json = false

  func run() throws {
    let file = try ModuleInput.read(module).file
    do {
      if json {
        try JSONOutput.print(try ModuleListing(file.module))
      } else {
        try AssemblyWriter.write(file.module, omitsConstants: omitConstants) { print($0) }
      }
    } catch { throw Failure(module, error) }
  }
}
