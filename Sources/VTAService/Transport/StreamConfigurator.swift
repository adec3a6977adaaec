internal import GRPCNIOTransportHTTP2
internal import NIOCore

/// What is put before gRPC Swift's handlers on each HTTP/2 stream of the daemon's listeners.
struct StreamConfigurator: Sendable {
  /// Of one request.
  let maximumMessageBytes: Int
  private let calls: [String: UnaryCall]

  /// - Parameter calls: Those that do without gRPC Swift.
  init(maximumMessageBytes: Int, calls: [UnaryCall]) {
    self.maximumMessageBytes = maximumMessageBytes
    self.calls = Dictionary(uniqueKeysWithValues: calls.map { ($0.method.path, $0) })
  }

  /// Called on the stream's event loop, which is its connection's too, before the first frame is delivered.
  func configure(_ stream: any Channel) -> EventLoopFuture<Void> {
    stream.eventLoop.makeCompletedFuture {
      guard let connection = stream.parent else {
        throw ServiceError(.internal, "an HTTP/2 stream has no connection")
      }
      let pipeline = connection.pipeline.syncOperations
      let caller = try pipeline.handler(type: ConnectionPeerHandler.self).caller(on: pipeline)
      try stream.pipeline.syncOperations.addHandlers(
        [
          UnaryCallHandler(calls, caller: caller, maximumMessageBytes: maximumMessageBytes),
          PeerStampHandler(caller: caller),
        ], position: .first)
    }
  }
}

extension HTTP2ServerTransport.Custom.Config {
  /// What every listener of the daemon has in common.
  init(_ streams: StreamConfigurator) {
    self = .defaults
    rpc.maxRequestPayloadSize = streams.maximumMessageBytes
    http2.maxFrameSize = HTTP2Tuning.frameBytes
    http2.targetWindowSize = HTTP2Tuning.windowBytes
    http2.maxConcurrentStreams = HTTP2Tuning.streams
    // Waits up to 100 µs for more to write: longer than a small model runs.
    connection.flushCoalescing = nil
    channelDebuggingCallbacks.onAcceptHTTP2Stream = streams.configure
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
