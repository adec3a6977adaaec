import CVTALinux
import Foundation
import Testing
import VTAModule

@testable import VTAService

/// The program as an operator and as systemd see it.
@Suite struct VtadTests {
  @Test func readyThenStoppedBySignal() throws {
    for signal in [SIGTERM, SIGINT] {
      let folder = try TemporaryFolder()
      let socket = folder.path("s")
      let vtad = try VtadProcess(["--socket", socket, "--device", "sim"])
      #expect(vtad.firstLine() == "vtad: ready: \(socket)")
      kill(vtad.process.processIdentifier, signal)
      #expect(vtad.end().code == 0)
      #expect(!FileManager.default.fileExists(atPath: socket))
    }
  }

  @Test(arguments: [
    (["--sockets", "x"], Int32(2), "--sockets"), (["--device", "nowhere"], 2, "nowhere"),
    (["--device", "sim:nowhere"], 2, "nowhere"), (["--config", "/absent.json"], 1, "/absent.json"),
    (["--device", "sim", "--models", "/absent"], 1, "/absent"),
    (["--device", "sim", "--socket", "/absent/s"], 1, "/absent"),
  ])
  func wrongUsageIsOneLine(_ arguments: [String], _ code: Int32, _ word: String) throws {
    let end = try VtadProcess(arguments).end()
    #expect(end.code == code)
    #expect(end.errors.hasPrefix("vtad: ") && end.errors.contains(word))
    #expect(end.errors.split(separator: "\n").count == 1)
  }

  @Test func secondDaemonIsRefused() async throws {
    let folder = try TemporaryFolder()
    let socket = folder.path("s")
    try await withDaemon(on: socket) { _ in
      let end = try VtadProcess(["--socket", socket, "--device", "sim"]).end()
      #expect(end.code == 1 && end.errors.contains(socket))
      #expect(try await VTAServiceClient.connect(to: socket) { try await $0.status().isReady })
    }
  }

  /// Ready is who listens on every address.
  @Test func takenPortIsNeverReady() throws {
    let folder = try TemporaryFolder()
    let (other, port) = try Self.listener()
    defer { close(other) }
    let text = #"{"http": {"port": \#(port), "loopback_readonly": true}}"#
    let file = try folder.write(Array(text.utf8), to: "vtad.json")
    let vtad = try VtadProcess(["--config", file, "--socket", folder.path("s"), "--device", "sim"])
    #expect(vtad.firstLine() == "")
    let end = vtad.end()
    #expect(end.code == 1 && end.errors.contains("can't serve"), "\(end.errors)")
  }

  /// A socket that listens on a port of the loopback interface, and the port.
  private static func listener() throws -> (CInt, UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let status = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(descriptor, pointer, size) | listen(descriptor, 1) | getsockname(descriptor, pointer, &size)
      }
    }
    guard status == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
    return (descriptor, address.sin_port.bigEndian)
  }

  @Test func systemdIsNotified() throws {
    let folder = try TemporaryFolder()
    let manager = try FakeManager(path: folder.path("notify"))
    let vtad = try VtadProcess(
      ["--socket", folder.path("s"), "--device", "sim"],
      environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "20000"])
    #expect(manager.next().contains("READY=1"))
    manager.wait(for: "WATCHDOG=1")
    manager.wait(for: "WATCHDOG=1")
    vtad.process.terminate()
    manager.wait(for: "STOPPING=1")
    #expect(vtad.end().code == 0)
  }

  /// The socket is systemd's: it is served, and it stays.
  @Test func inheritedSocketIsServed() async throws {
    let folder = try TemporaryFolder()
    let passed = try ListeningSocket.create(path: folder.path("passed"), mode: 0o600)
    let vtad = try VtadProcess(
      ["--socket", folder.path("ignored"), "--device", "sim"],
      shell: "exec 3<&0; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"",
      input: FileHandle(fileDescriptor: passed.descriptor, closeOnDealloc: true))
    #expect(vtad.firstLine() == "vtad: ready: \(passed.path)")
    #expect(try await VTAServiceClient.connect(to: passed.path) { try await $0.status().isReady })
    vtad.process.terminate()
    #expect(vtad.end().code == 0)
    #expect(FileManager.default.fileExists(atPath: passed.path))
    #expect(!FileManager.default.fileExists(atPath: folder.path("ignored")))
  }

  @Test func deadSocketIsExplained() async throws {
    let folder = try TemporaryFolder()
    try folder.write([], to: "file")
    for path in [folder.path("absent"), folder.path("file"), folder.path] {
      let error = await #expect(throws: ServiceError.self) {
        try await VTAServiceClient.connect(to: path) { try await $0.status() }
      }
      #expect(error?.kind == .unavailable && error?.description.contains(path) == true)
    }
  }
}
