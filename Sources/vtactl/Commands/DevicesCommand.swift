internal import ArgumentParser
internal import VTAService

struct DevicesCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices",
    abstract: "Lists the devices that the daemon drives: what they are, do and suffered.")

  @OptionGroup var daemon: DaemonOptions

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() async throws {
    let rows = try await daemon.ask { try await $0.devices() }.map(DeviceRow.init)
    if json { return try JSONOutput.print(rows) }
    for row in rows { print(row.text) }
  }
}

/// A device as the daemon describes it.
struct DeviceRow: Encodable {
  struct Hardware: Encodable {
    let board: String
    let registers: String
    let memory: String
    let memoryBytes: UInt64?
    let coherency: String
    let coherencyReason: String
  }

  let name: String
  let kind: String
  let target: String?
  let state: String
  let serving: Bool
  let drained: Bool
  let requests: UInt32
  let recoveries: UInt64
  let faults: UInt64
  let lastFault: String?
  let profile: String?
  let configuration: String?
  let note: String?
  let hardware: Hardware?

  init(_ device: DaemonStatus.Device) {
    name = device.name
    kind = device.kind
    target = device.target
    state = device.state
    serving = device.isServing
    drained = device.isDrained
    requests = device.requests
    recoveries = device.recoveries
    faults = device.faults
    lastFault = device.lastFault
    profile = device.profile
    configuration = device.configuration
    note = device.note
    hardware = device.hardware.map {
      Hardware(
        board: $0.board, registers: $0.registers, memory: $0.memory, memoryBytes: $0.memoryBytes,
        coherency: $0.coherency, coherencyReason: $0.coherencyReason)
    }
  }

  var text: String {
    var text = "\(name): \(kind), \(state), \(target ?? "target of each module")"
    if let hardware {
      let size = hardware.memoryBytes.map { ", \($0 >> 20) MiB" } ?? ""
      text += ", board \(hardware.board), registers \(hardware.registers), memory \(hardware.memory)\(size), "
      text += "\(hardware.coherency) (\(hardware.coherencyReason))"
    }
    if drained { text += ", drained" }
    if requests > 0 { text += ", \(requests) requests" }
    if let lastFault { text += ", failed \(faults) times, lastly: \(lastFault)" }
    if recoveries > 0 { text += ", recovered \(recoveries) times" }
    return text + (note.map { " (\($0))" } ?? "")
  }
}
