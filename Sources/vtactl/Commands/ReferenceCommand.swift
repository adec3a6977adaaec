internal import ArgumentParser
private import VTA
private import VTACompiler
private import VTARuntime

/// For `make reference`; not shown in the help.
struct ReferenceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reference", abstract: "Writes the generated pages of Documentation.", shouldDisplay: false)

  @Option(help: "The folder Documentation.", completion: .directory)
  var outputDir: String

  func run() throws {
    let reference = outputDir + "/Reference"
    try FileOutput.makeFolder(reference)
    for page in try ReferencePage.all() + [BoardReference.page] {
      try FileOutput.write(Array(page.text.utf8), to: reference + "/" + page.fileName)
    }
    try FileOutput.write(
      Array(SupportedOperators.markdown().utf8), to: outputDir + "/" + SupportedOperators.fileName)
  }
}
