import CVTALinux
import Foundation
import Logging
import Synchronization
import Testing

@testable import VTAService

@Suite struct WatchdogTests {
  private static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private struct Silence: Error {}

  /// A sign of life only if every device is in time and the service answers.
  @Test(arguments: [true, false], ["answers", "fails", "is silent", "is deaf"])
  func signsOfLife(devicesAreInTime: Bool, service: String) async {
    let signs = Mutex(0)
    let watchdog = Watchdog(
      patience: .milliseconds(50), stuckDevices: { devicesAreInTime ? [] : ["sim"] },
      callOneself: {
        switch service {
        case "answers": break
        case "fails": throw Silence()
        case "is deaf": await Task { try? await Task.sleep(for: .seconds(3600)) }.value  // to cancellation
        default: try await Task.sleep(for: .seconds(3600))
        }
      }, notifyAlive: { signs.withLock { $0 += 1 } }, logger: Self.silent)
    let isAlive = await watchdog.beat()
    let expected = devicesAreInTime && service == "answers"
    #expect(isAlive == expected && signs.withLock { $0 } == (expected ? 1 : 0))
  }

  /// SIGHUP: a new level and quota count at once, and a broken file changes nothing.
  @Test func configurationIsReadAgain() async throws {
    let folder = try TemporaryFolder()
    let socket = folder.path("s")
    let file = folder.path("vtad.json")
    let write = { @Sendable (text: String) in try Data(text.utf8).write(to: URL(fileURLWithPath: file)) }
    try write(#"{"quota": {"models": 1}}"#)
    let vtad = try VtadProcess(["--config", file, "--socket", socket, "--device", "sim"])
    #expect(vtad.firstLine() == "vtad: ready: \(socket)")
    let module = try TinyModule.file()
    let process = vtad.process.processIdentifier
    try await VTAServiceClient.connect(to: socket) { client in
      try await client.submit(module, as: "a")
      await #expect(throws: ServiceError.self) { try await client.submit(module, as: "b") }
      try write("rubbish")
      kill(process, SIGHUP)
      #expect(await vtad.says("stays as it was"))
      await #expect(throws: ServiceError.self) { try await client.submit(module, as: "b") }
      try write(#"{"quota": {"models": 2}, "drain_seconds": 7}"#)
      kill(process, SIGHUP)
      #expect(await vtad.says("configuration read again"))
      try await client.submit(module, as: "b")
    }
    vtad.process.terminate()
    let end = vtad.end()
    #expect(end.code == 0)
    #expect(end.errors.contains("'drain_seconds' has changed"))
  }

  @Test(arguments: [
    ("{}", Int32(0), "ok"), (#"{"quota": 1}"#, 1, "quota"),
    (#"{"admin_group": "no such group"}"#, 1, "group"),
    (#"{"models": "/absent"}"#, 1, "/absent"),
    (#"{"modules": {"require_signature": true}}"#, 1, "modules.require_signature"),
    (#"{"modules": {"keys": "12"}}"#, 1, "modules.keys"),
    (
      #"{"tcp": {"grpc_port": 1, "certificate": "/absent", "key": "/absent", "client_ca": "/absent"}}"#, 1,
      "tcp.certificate"
    ),
  ])
  func configurationIsChecked(_ text: String, _ code: Int32, _ word: String) throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(Array(text.utf8), to: "vtad.json")
    let vtad = try VtadProcess(["--check-config", "--config", file, "--socket", folder.path("s")])
    let line = vtad.firstLine()
    let end = vtad.end()
    #expect(end.code == code && (line + end.errors).contains(word), "\(line)\(end.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder.path("s")))
  }
}
