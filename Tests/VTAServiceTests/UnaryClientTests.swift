import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import VTAService

/// Our gRPC client with our daemon; Tests/interop/test_own_client.py has it meet others.
@Suite struct UnaryClientTests {
  /// More than the daemon takes at a time on one connection: the rest waits.
  @Test func moreCallsThanStreams() async throws {
    let folder = try TemporaryFolder()
    try await withDaemon(on: folder.path("s")) { daemon in
      try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        let connections = try await withThrowingTaskGroup(of: UInt32.self) { group in
          for _ in 0..<(3 * HTTP2Tuning.streams) { group.addTask { try await client.status().connections } }
          return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(connections.count == 3 * HTTP2Tuning.streams && connections.allSatisfy { $0 == 1 })
      }
    }
  }

  /// There and not back: more than the windows of a stream and of a connection.
  @Test func requestLargerThanTheWindow() async throws {
    let folder = try TemporaryFolder()
    try await withDaemon(on: folder.path("s")) { daemon in
      try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        try await client.submit(TinyModule.file(padding: 3 * HTTP2Tuning.windowBytes), as: "large")
        #expect(try await client.models().map(\.name) == ["large"])
      }
    }
  }

  /// Whoever does not want to wait any more need not, and the daemon learns of it.
  @Test func cancelledCalls() async throws {
    let folder = try TemporaryFolder()
    let values = (0..<240_000).map { Float($0 % 100) / 4 }
    try await withDaemon(on: folder.path("s")) { daemon in
      try await VTAServiceClient.connect(to: daemon.socketPath) { client in
        try await client.submit(TinyModule.file(), as: "m")
        let inputs = ["x": TinyModule.input(values)]
        // One runs at a time; the last of them have not begun.
        let calls = (0..<20).map { _ in Task { try await client.infer("m", inputs: inputs) } }
        try await eventually {
          daemon.counters.running.load(ordering: .relaxed) > 1
            || daemon.counters.inferences.load(ordering: .relaxed) > 0
        }
        for call in calls { call.cancel() }
        for call in calls {
          do {
            _ = try await call.value
          } catch let error as ServiceError {
            #expect(error.kind == .cancelled)
          }
        }
        #expect(daemon.counters.inferences.load(ordering: .relaxed) < 20)
        try await eventually { daemon.counters.running.load(ordering: .relaxed) == 0 }
        let answer = try await client.infer("m", inputs: ["x": TinyModule.input([1, 2, 3, 4])])
        #expect(answer.outputs.count == 1)
      }
    }
  }

  /// The kernel lets us connect, and then nothing happens.
  @Test func cancelledWhileNobodyAnswers() async throws {
    let folder = try TemporaryFolder()
    let socket = try ListeningSocket.create(path: folder.path("s"), mode: 0o600)
    defer { socket.removeFile() }
    try await VTAServiceClient.connect(to: socket.path) { client in
      for isLate in [false, true] {
        let call = Task { try await client.status() }
        if isLate { await Task.yield() }
        call.cancel()
        let error = await #expect(throws: ServiceError.self) { try await call.value }
        #expect(error?.kind == .cancelled)
      }
    }
  }

  /// A daemon that was started again is found again.
  @Test func daemonThatComesBack() async throws {
    let folder = try TemporaryFolder()
    let client = try UnaryClient(.socket(folder.path("s")), on: MultiThreadedEventLoopGroup.singleton.next())
    for _ in 0..<2 {
      try await withDaemon(on: folder.path("s")) { _ in
        let answer = try await client.call(Grpc_Health_V1_Health.Method.Check.self, .init())
        #expect(answer.status == .serving)
      }
      let error = await #expect(throws: CallFailure.self) {
        try await client.call(Grpc_Health_V1_Health.Method.Check.self, .init())
      }
      guard case .connection(.unreachable) = error else { return #expect(error == nil) }
    }
    try await client.close().get()
    await #expect(throws: CallFailure.connection(.lost)) {
      try await client.call(Grpc_Health_V1_Health.Method.Check.self, .init())
    }
  }

  @Test(arguments: [
    ("", ""), ("plain text", "plain text"), ("100%25", "100%"), ("n%C3%B6", "nö"), ("%", "%"), ("%4", "%4"),
    ("%zz%41", "%zzA"), ("%+4", "%+4"), ("%%34", "%4"), ("ö", "ö"),
  ])
  func percentDecoding(_ text: String, _ decoded: String) {
    #expect(text.percentDecodedFromGRPC == decoded)
    #expect(decoded.percentEncodedForGRPC.percentDecodedFromGRPC == decoded)
  }
}
