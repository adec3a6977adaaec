internal import GRPCCore
internal import NIOCore
internal import NIOHTTP2
internal import NIOPosix
internal import NIOSSL
internal import Synchronization

/// gRPC's calls on the connections of one address: some are answered directly, the others by gRPC Swift's services.
final class CallTransport: ServerTransport {
  typealias Bytes = FramedMessage

  enum Address: Sendable {
    /// A Unix socket that listens already. Owned by the transport as soon as it listens.
    case socket(CInt)
    case tls(host: String, port: Int, NIOSSLContext)
  }

  private struct State {
    var methods: [MethodDescriptor] = []
    var listener: (any Channel)?
    var open: [ObjectIdentifier: any Channel] = [:]
    var isQuiescing = false
  }

  private let address: Address
  private let directly: [UnaryCall]
  private let maximumMessageBytes: Int
  private let connections: ConnectionRegistry
  private let memory: RequestMemory
  private let live: LiveConfiguration
  private let state = Mutex(State())
  private let (bound, boundEnd) = AsyncStream.makeStream(of: Never.self)

  /// - Parameters:
  ///   - maximumMessageBytes: Of one request.
  ///   - directly: The calls that do without gRPC Swift.
  init(
    _ address: Address, maximumMessageBytes: Int, directly: [UnaryCall], connections: ConnectionRegistry,
    memory: RequestMemory, live: LiveConfiguration
  ) {
    self.address = address
    self.maximumMessageBytes = maximumMessageBytes
    self.directly = directly
    self.connections = connections
    self.memory = memory
    self.live = live
  }

  /// Returns when it listens, or `false` when it never will.
  var isListening: Bool {
    get async {
      for await _ in bound {}
      return state.withLock { $0.listener != nil }
    }
  }

  func configure(context: GRPCServerContext) { state.withLock { $0.methods = context.methods } }

  /// Serves until all connections are closed, after ``beginGracefulShutdown()``, and services are done; cancelling closes
  /// the connections.
  func listen(
    streamHandler: @escaping @Sendable (RPCStream<Inbound, Outbound>, ServerContext) async -> Void
  ) async throws {
    defer { boundEnd.finish() }
    let (calls, callsEnd) = AsyncStream.makeStream(of: ServiceCall.Work.self)
    let listener = try await bind(routes { callsEnd.yield($0) })
    state.withLock { $0.listener = listener }
    boundEnd.finish()
    if state.withLock({ $0.isQuiescing }) { beginGracefulShutdown() }
    await withDiscardingTaskGroup { group in
      group.addTask { [self] in
        await closed(listener)
        callsEnd.finish()
      }
      for await call in calls {
        // Off the event loops, which must not wait for files, digests or checks of whole modules.
        group.addTask(executorPreference: globalConcurrentExecutor) {
          await withServerContextRPCCancellationHandle { cancellation in
            call.begin(cancellation)
            let context = ServerContext(
              descriptor: call.stream.descriptor, remotePeer: "\(call.caller)", localPeer: "vtad",
              cancellation: cancellation)
            await streamHandler(call.stream, context)
          }
        }
      }
    }
  }

  /// Returns when the listener and all of its connections are closed.
  private func closed(_ listener: any Channel) async {
    await withTaskCancellationHandler {
      try? await listener.closeFuture.get()
      while let channel = state.withLock({ $0.open.values.first }) { try? await channel.closeFuture.get() }
    } onCancel: {
      let open = state.withLock { state in
        // One that is being accepted is closed too.
        state.isQuiescing = true
        return Array(state.open.values)
      }
      for channel in open + [listener] { channel.close(promise: nil) }
    }
  }

  /// Connections are closed when their last call has ended; clients are told to begin no more.
  func beginGracefulShutdown() {
    let channels = state.withLock { state in
      state.isQuiescing = true
      return Array(state.open.values) + (state.listener.map { [$0] } ?? [])
    }
    for channel in channels { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
  }

  private func routes(_ serve: @escaping @Sendable (ServiceCall.Work) -> Void) -> CallRoutes {
    var answerers: [String: CallRoutes.Answerer] = [:]
    for method in state.withLock({ $0.methods }) { answerers[method.path] = .service(method) }
    for call in directly { answerers[call.method.path] = .directly(call) }
    return CallRoutes(
      answerers: answerers, serve: serve, maximumMessageBytes: maximumMessageBytes, memory: memory)
  }

  private func bind(_ routes: CallRoutes) async throws -> any Channel {
    let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer {
      channel in
      channel.eventLoop.makeCompletedFuture { [self] in try accept(channel, routes) }
    }
    switch address {
    case .socket(let descriptor):
      return try await bootstrap.withBoundSocket(descriptor).get()
    case .tls(let host, let port, _):
      return try await bootstrap.serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelOption(.tcpOption(.tcp_nodelay), value: 1).bind(host: host, port: port).get()
    }
  }
}

// A connection that was just accepted.
extension CallTransport {
  private func accept(_ channel: any Channel, _ routes: CallRoutes) throws {
    let connection = connections.opened()
    let number = ObjectIdentifier(channel)
    let isQuiescing = state.withLock { state in
      state.open[number] = channel
      return state.isQuiescing
    }
    channel.closeFuture.whenComplete { [self] _ in
      connections.closed(connection)
      state.withLock { _ = $0.open.removeValue(forKey: number) }
    }
    guard !isQuiescing else { throw ServiceError(.unavailable, "the daemon is stopping") }
    let loop = channel.eventLoop
    let pipeline = channel.pipeline.syncOperations
    let identity = try identify(channel, connection)
    if case .tls(_, _, let context) = address {
      try pipeline.addHandler(NIOSSLServerHandler(context: context))
    }
    try pipeline.addHandler(NIOHTTP2Handler(mode: .server, initialSettings: HTTP2Tuning.daemon))
    try pipeline.addHandler(
      NIOHTTP2ServerConnectionManagementHandler(eventLoop: loop, configuration: lifetime))
    try pipeline.addHandler(CallConnection(routes, identity, on: loop))
  }

  /// - Throws: ``ServiceError`` if the client is not known, or has too many connections.
  private func identify(_ channel: any Channel, _ connection: ConnectionID) throws -> PeerIdentity {
    guard case .socket = address else {
      return .certificate(connection, policy: live.policy, connections: connections)
    }
    let caller = try Caller(connectedThrough: channel, connection: connection, policy: live.policy)
    connections.identified(caller.user, on: connection)
    guard connections.count(of: caller.user) <= live.connectionsPerUser else {
      throw ServiceError(.resourceExhausted, "\(caller.user) has too many connections")
    }
    return .known(caller)
  }

  /// The kernel says when the other end of a Unix socket has gone, but not always that of a network.
  private var lifetime: NIOHTTP2ServerConnectionManagementHandler.Configuration {
    var lifetime = NIOHTTP2ServerConnectionManagementHandler.Configuration.defaults
    // The drain has a bound of its own.
    lifetime.maxGraceTime = nil
    if case .socket = address { lifetime.keepalive = nil }
    return lifetime
  }
}
