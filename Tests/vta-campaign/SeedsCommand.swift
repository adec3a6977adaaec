internal import ArgumentParser
private import Foundation
private import VTA
private import VTACampaign

/// Writes the seeds that are derived from recordings, when the instruction layouts or the format change.
struct SeedsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "seeds", abstract: "Recorded runs as seeds of the decoder 'program'.")

  @Argument(help: "Recorded runs.")
  var files: [String]

  func run() throws {
    for file in files {
      let url = URL(filePath: file)
      let program = try MachineProgram(name: file, RecordedRun(Array(try Data(contentsOf: url))))
      guard let bytes = try SeedFiles.compact(program) else {
        print("\(file): too large")
        continue
      }
      let name = url.deletingPathExtension().lastPathComponent
      let place = SeedFiles.folder.appending(path: "program/\(name)")
      try Data(bytes).write(to: place)
      print("\(place.path): \(bytes.count) bytes, \(try program.findings().count) findings")
    }
  }
}
