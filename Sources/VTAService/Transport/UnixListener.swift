internal import GRPCNIOTransportHTTP2
internal import NIOCore
internal import NIOPosix

/// Accepts gRPC connections on a Unix socket that is already listening, and marks each with its peer's credentials.
struct UnixListener: HTTP2ServerTransport.ListenerFactory {
  /// Owned by the channel as soon as it is made.
  let descriptor: CInt
  let connections: ConnectionRegistry
  let live: LiveConfiguration
  let eventLoopGroup: any EventLoopGroup

  typealias Connection = HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel

  func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<Connection, Never> {
    try await ServerBootstrap(group: eventLoopGroup)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
      .bind(descriptor) { channel in
        channel.eventLoop.makeCompletedFuture { try identify(channel) }
          .flatMap { connectionConfigurator.configure(channel: channel, tls: .none) }
          .flatMapError { error in
            channel.close().flatMapThrowing { throw error }
          }
      }
  }

  private func identify(_ channel: any Channel) throws {
    let connection = connections.opened()
    channel.closeFuture.whenComplete { [connections] _ in connections.closed(connection) }
    let caller = try ConnectionPeerHandler.caller(of: channel, connection: connection, policy: live.policy)
    connections.identified(caller.user, on: connection)
    guard connections.count(of: caller.user) <= live.connectionsPerUser else {
      throw ServiceError(.resourceExhausted, "\(caller.user) has too many connections")
    }
    try channel.pipeline.syncOperations.addHandler(ConnectionPeerHandler(.known(caller)))
  }
}

extension UnixListener {
  typealias Transport = HTTP2ServerTransport.Custom<UnixListener>

  func transport(_ streams: StreamConfigurator) -> Transport {
    Transport(listenerFactory: self, config: .init(streams))
  }
}
