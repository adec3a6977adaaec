internal import ArgumentParser
internal import VTAService

struct DevicesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "Lists the devices that the daemon drives.")

  @OptionGroup var daemon: DaemonOptions

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() async throws {
    let rows = try await daemon.ask { try await $0.status() }.devices.map(DeviceRow.init)
    if json { return try JSONOutput.print(rows) }
    for row in rows { print(row.text) }
  }
}

/// A device as the daemon describes it.
struct DeviceRow: Encodable {
  let name: String
  let kind: String
  let target: String?
  let state: String
  let note: String?

  init(_ device: DaemonStatus.Device) {
    name = device.name
    kind = device.kind
    target = device.target
    state = device.state
    note = device.note
  }

  var text: String {
    "\(name): \(kind), \(state), \(target ?? "target of each module")\(note.map { " (\($0))" } ?? "")"
  }
}
