internal import NIOCore

/// What a call knows from its start.
struct CallContext {
  let stream: CallStream
  let caller: Caller
  let messages: IncomingMessages
}

/// A call of a client, from its headers to its status. Belongs to its connection's event loop.
protocol IncomingCall: AnyObject {
  /// - Parameter isLast: The client sends nothing more.
  func receive(_ bytes: ByteBuffer, isLast: Bool)

  /// The client's deadline has passed.
  func expire()

  /// The stream is closed: the call has its status, or the client or its connection has left.
  func end()

  /// Whether the client must not send more than its window lets it.
  var isPaused: Bool { get }
}
