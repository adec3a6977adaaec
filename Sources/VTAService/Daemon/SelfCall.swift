internal import GRPCCore
internal import GRPCNIOTransportHTTP2

/// A connection of the daemon to itself, through its own socket.
struct SelfCall: Sendable {
  let socket: String

  /// Calls `body` with the health call of a connection that is given up when it returns.
  func connected(
    _ body: @escaping @Sendable (@escaping @Sendable () async throws -> Void) async -> Void
  ) async throws {
    var config = HTTP2ClientTransport.Posix.Config.defaults
    config.http2.authority = "localhost"
    let transport = try HTTP2ClientTransport.Posix(
      target: .unixDomainSocket(path: socket), transportSecurity: .plaintext, config: config)
    let client = GRPCClient(transport: transport)
    // Not waited for: a server that shuts down may leave the connection half made, and that would hold the shutdown.
    let connections = Task { try await client.runConnections() }
    defer {
      client.beginGracefulShutdown()
      connections.cancel()
    }
    let health = Grpc_Health_V1_Health.Client(wrapping: client)
    await body { _ = try await health.check(.init()) }
  }
}
