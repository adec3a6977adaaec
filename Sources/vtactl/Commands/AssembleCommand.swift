internal import ArgumentParser
private import VTA
private import VTAModule

struct AssembleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "assemble", abstract: "Makes a .vtab module of assembly text.",
    discussion: """
      The syntax is described in Documentation/Assembly.md; vtactl disassemble prints it. A module made this way is
      checked, run and served as a compiled one.
      """)

  @Argument(help: "The assembly text, a .vtas file.", completion: .file(extensions: ["vtas"]))
  var text: String

  @Option(
    name: .shortAndLong, help: "Where the module is written, a .vtab file.",
    completion: .file(extensions: ["vtab"]))
  var output: String

  @Option(
    help: "A module with the contents of regions that the text leaves out with .omitted, by name and size.",
    completion: .file(extensions: ["vtab"]))
  var constantsFrom: String?

  /// Hexadecimal text of the largest contents that the assembler takes, and as much again.
  private static let textBytesMax = 4 * Assembler.contentBytesMax

  func run() throws {
    let constants = try constantsFrom.map { try Self.constants(of: ModuleInput.read($0).file.module) } ?? [:]
    let bytes = try FileInput.read(text, limit: Self.textBytesMax)
    let module: Module
    do throws(AssemblyError) {
      module = try Assembler.module(from: bytes) { name, byteCount in
        constants[name].flatMap { UInt64($0.count) == byteCount ? $0 : nil }
      }
    } catch {
      throw Failure("\(text):\(error.line):\(error.column)", error.message)
    }
    let file: [UInt8]
    do { file = try ModuleWriter.bytes(of: module) } catch { throw Failure(text, error) }
    try FileOutput.write(file, to: output)
    let count = module.programs.reduce(0) { $0 + $1.instructionCount }
    print("\(output): \(file.count) bytes for \(module.target.description); \(count) instructions")
  }

  private static func constants(of module: Module) -> [String: [UInt8]] {
    let constants = module.regions.compactMap { region -> (String, [UInt8])? in
      switch region.role {
      case .constant(let bytes), .microOps(let bytes): (region.name, bytes)
      case .workspace: nil
      }
    }
    return Dictionary(constants) { first, _ in first }
  }
}
