internal import NIOPosix

/// A connection of the daemon to itself, through its own socket.
struct SelfCall: Sendable {
  let socket: String

  /// Calls `body` with the health call of a connection that is given up when it returns.
  func connected(
    _ body: @escaping @Sendable (@escaping @Sendable () async throws -> Void) async -> Void
  ) async throws {
    let client = try UnaryClient(.socket(socket), on: MultiThreadedEventLoopGroup.singleton.next())
    // Not waited for.
    defer { client.close() }
    await body { _ = try await client.call(Grpc_Health_V1_Health.Method.Check.self, .init()) }
  }
}
