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

  /// - Parameter maximumMessageBytes: Of one request.
  func transport(maximumMessageBytes: Int) -> Transport {
    Transport(listenerFactory: self, config: .init(maximumMessageBytes: maximumMessageBytes))
  }
}

extension HTTP2ServerTransport.Custom.Config {
  /// What every listener of the daemon has in common.
  init(maximumMessageBytes: Int) {
    self = .defaults
    rpc.maxRequestPayloadSize = maximumMessageBytes
    http2.maxFrameSize = HTTP2Tuning.frameBytes
    http2.targetWindowSize = HTTP2Tuning.windowBytes
    http2.maxConcurrentStreams = HTTP2Tuning.streams
    // Waits up to 100 µs for more to write: longer than a small model runs.
    connection.flushCoalescing = nil
    channelDebuggingCallbacks.onAcceptHTTP2Stream = PeerStampHandler.install(on:)
  }
}

/// Both ends are on one machine: few large frames, and windows that a tensor of a few megabytes fits into.
enum HTTP2Tuning {
  static let frameBytes = 1 << 20
  static let windowBytes = 8 << 20
  /// Calls of one connection at a time. Must be announced: a client that isn't told opens more than are taken, and loses
  /// the connection.
  static let streams = 128
}
