internal import GRPCCore
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2
internal import NIOPosix
internal import NIOSSL
internal import SwiftProtobuf

/// Makes gRPC calls with one message each way, over one connection that is made for the first call, and again when the
/// daemon has given it up. Small enough that a call costs little more than its system calls.
final class UnaryClient: Sendable {
  /// For a connection to be made and HTTP/2 to begin.
  static let patience = TimeAmount.seconds(20)

  private struct State {
    /// Which takes new calls; `nil`: none does.
    var connection: UnaryConnection?
    var isClosed = false
  }

  let eventLoop: any EventLoop
  private let address: DaemonAddress
  private let tls: NIOSSLContext?
  private let state: NIOLoopBoundBox<State>

  /// - Throws: ``ServiceError`` if the address has certificates that can't be used.
  init(_ address: DaemonAddress, on eventLoop: any EventLoop) throws(ServiceError) {
    self.address = address
    self.eventLoop = eventLoop
    if case .host(_, _, let credentials) = address {
      tls = try credentials.context()
    } else {
      tls = nil
    }
    state = .makeBoxSendingValue(State(), eventLoop: eventLoop)
  }

  /// - Throws: ``CallFailure``, `CancellationError` as soon as the task is cancelled, or that the message can't be encoded.
  func call<Method: UnaryMethod>(
    _ method: Method.Type, _ input: Method.Input
  ) async throws -> Method.Output {
    let message: FramedMessage = try input.serializedBytes()
    let call = NIOLoopBoundBox.makeBoxSendingValue(
      RunningCall(headers(of: Method.descriptor), message.buffer), eventLoop: eventLoop)
    let answer = try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        onEventLoop {
          call.value.begin(continuation)
          self.start(call.value)
        }
      }
    } onCancel: {
      eventLoop.execute { call.value.cancel() }
    }
    do {
      return try Method.Output(serializedBytes: MessageBytes(buffer: answer))
    } catch {
      throw CallFailure.malformed("its message is no \(Method.Output.protoMessageName)")
    }
  }

  /// Takes no more calls, and gives up those that run.
  /// - Returns: Fulfilled when the connection is closed.
  @discardableResult
  func close() -> EventLoopFuture<Void> {
    eventLoop.flatSubmit { [self] in
      state.value.isClosed = true
      return state.value.connection?.close() ?? eventLoop.makeSucceededVoidFuture()
    }
  }

  private func onEventLoop(_ body: @escaping @Sendable () -> Void) {
    if eventLoop.inEventLoop { body() } else { eventLoop.execute(body) }
  }

  private func headers(of method: MethodDescriptor) -> HPACKHeaders {
    [
      ":method": "POST", ":scheme": tls == nil ? "http" : "https",
      ":path": method.path, ":authority": address.authority,
      "te": "trailers", "content-type": "application/grpc",
    ]
  }

  private func start(_ call: RunningCall) {
    guard !state.value.isClosed else { return call.finish(.failure(CallFailure.connection(.lost))) }
    if let connection = state.value.connection, connection.takesCalls { return connection.start(call) }
    let connection = UnaryConnection { [weak self] in self?.start($0) }
    state.value.connection = connection
    connection.start(call)
    connect(connection)
  }

  private func connect(_ connection: UnaryConnection) {
    let connection = NIOLoopBound(connection, eventLoop: eventLoop)
    let (tls, name) = (tls, address.certificateName)
    let bootstrap = ClientBootstrap(group: eventLoop).connectTimeout(Self.patience).channelInitializer {
      channel in
      channel.eventLoop.makeCompletedFuture {
        let pipeline = channel.pipeline.syncOperations
        if let tls { try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name)) }
        try pipeline.addHandler(NIOHTTP2Handler(mode: .client, initialSettings: HTTP2Tuning.client))
        try pipeline.addHandler(connection.value)
      }
    }
    let connected =
      switch address {
      case .socket(let path): bootstrap.connect(unixDomainSocketPath: path)
      case .host(let host, let port, _):
        bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port)
      }
    connected.whenFailure { connection.value.end(.unreachable($0.short)) }
  }
}

extension DaemonAddress {
  fileprivate var authority: String {
    switch self {
    case .socket: "localhost"
    case .host(let host, let port, _): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
  }

  /// That the daemon's certificate must be for; `nil`: an address, for which TLS does not look at names.
  fileprivate var certificateName: String? {
    guard case .host(let host, _, _) = self, (try? SocketAddress(ipAddress: host, port: 0)) == nil else {
      return nil
    }
    return host
  }
}
