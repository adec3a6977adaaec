internal import ArgumentParser
private import VTA
private import VTARuntime

/// For `make reference`; not shown in the help.
struct ReferenceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reference", abstract: "Writes the pages of Documentation/Reference.", shouldDisplay: false)

  @Option(help: "Where the pages are written.")
  var outputDir: String

  func run() throws {
    try FileOutput.makeFolder(outputDir)
    for page in try ReferencePage.all() + [BoardReference.page] {
      try FileOutput.write(Array(page.text.utf8), to: outputDir + "/" + page.fileName)
    }
  }
}
