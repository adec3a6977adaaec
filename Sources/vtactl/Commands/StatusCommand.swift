internal import ArgumentParser
internal import VTAService

struct StatusCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "Shows what the daemon does.")

  private struct Report: Encodable {
    let version: String
    let pid: UInt32
    let uptimeSeconds: UInt64
    let ready: Bool
    let devices: [DeviceRow]
    let modelsReady: UInt32
    let modelsUnavailable: UInt32
    let modelsPrivate: UInt32
    let connections: UInt32
    let inferences: UInt64
    let modelDirectory: String?
  }

  @OptionGroup var daemon: DaemonOptions

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() async throws {
    let status = try await daemon.ask { try await $0.status() }
    if json {
      try JSONOutput.print(
        Report(
          version: status.version, pid: status.pid, uptimeSeconds: status.uptimeSeconds,
          ready: status.isReady,
          devices: status.devices.map(DeviceRow.init), modelsReady: status.modelsReady,
          modelsUnavailable: status.modelsUnavailable, modelsPrivate: status.modelsPrivate,
          connections: status.connections, inferences: status.inferences,
          modelDirectory: status.modelDirectory))
      return
    }
    print(
      "vtad \(status.version), process \(status.pid), up \(status.uptimeSeconds) s, \(status.isReady ? "ready" : "starting")"
    )
    for device in status.devices { print("  device \(DeviceRow(device).text)") }
    let directory = status.modelDirectory.map { " in \($0)" } ?? ", no model directory"
    print(
      "  models: \(status.modelsReady) ready, \(status.modelsUnavailable) unavailable\(directory), "
        + "\(status.modelsPrivate) private")
    print("  \(status.connections) connections, \(status.inferences) inferences")
  }
}
