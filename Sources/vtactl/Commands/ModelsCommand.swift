internal import ArgumentParser
private import VTAService

struct ModelsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "models", abstract: "Lists the models that the daemon serves, and those it could not load.")

  private struct Row: Encodable {
    let name: String
    let version: String
    let state: String
    let reason: String
  }

  @OptionGroup var daemon: DaemonOptions

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() async throws {
    let rows = try await daemon.ask { try await $0.models() }.map {
      Row(name: $0.name, version: $0.version, state: $0.state, reason: $0.reason)
    }
    if json { return try JSONOutput.print(rows) }
    if rows.isEmpty { print("no models") }
    for row in rows {
      print("\(row.name) version \(row.version): \(row.state)\(row.reason.isEmpty ? "" : ": \(row.reason)")")
    }
  }
}
