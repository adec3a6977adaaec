internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2
internal import NIOTLS

/// A call from its start to its answer. Belongs to the event loop of its client.
final class RunningCall {
  let headers: HPACKHeaders
  /// With gRPC's prefix.
  let message: ByteBuffer
  /// A daemon that refuses the call a second time means it.
  var mayBeRepeated = true
  var answer = UnaryAnswer(maximumMessageBytes: DaemonConfiguration.messageBytesMax)
  /// Where it runs; `nil`: it waits for a connection.
  fileprivate var place: (connection: UnaryConnection, stream: HTTP2StreamID)?
  private var continuation: CheckedContinuation<ByteBuffer, any Error>?
  private var isCancelled = false

  init(_ headers: HPACKHeaders, _ message: ByteBuffer) {
    self.headers = headers
    self.message = message
  }

  func begin(_ continuation: CheckedContinuation<ByteBuffer, any Error>) {
    self.continuation = continuation
    if isCancelled { finish(.failure(CancellationError())) }
  }

  var isOver: Bool { continuation == nil }

  func cancel() {
    isCancelled = true
    if let place { place.connection.giveUp(place.stream) }
    finish(.failure(CancellationError()))
  }

  /// The first time counts.
  func finish(_ result: Result<ByteBuffer, any Error>) {
    place = nil
    continuation?.resume(with: result)
    continuation = nil
  }
}

/// After the HTTP/2 handler of a connection: the calls on its streams. Streams are no channels of their own here; that
/// handler keeps calls back beyond those that the daemon takes at a time, and data beyond its windows.
final class UnaryConnection: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame
  typealias OutboundOut = HTTP2Frame

  private enum State {
    case connecting
    case agreedOnTLS
    /// The daemon's settings have come.
    case open
    case ended(ConnectionEnd)
  }

  private let restart: (RunningCall) -> Void
  private var state = State.connecting
  private var context: ChannelHandlerContext?
  private var waiting: [RunningCall] = []
  private var calls: [HTTP2StreamID: RunningCall] = [:]
  private var nextStream: HTTP2StreamID = 1
  /// The daemon takes no more calls.
  private var isRetired = false
  /// Streams that were answered before all of the request was sent.
  private var answeredEarly: Set<HTTP2StreamID> = []
  private var needsFlush = false
  private var deadline: Scheduled<Void>?

  /// - Parameter restart: Called with a call that the daemon has not begun with.
  init(restart: @escaping (RunningCall) -> Void) { self.restart = restart }

  var takesCalls: Bool {
    if case .ended = state { false } else { !isRetired }
  }

  func start(_ call: RunningCall) {
    switch state {
    case _ where call.isOver: break
    case .connecting, .agreedOnTLS: waiting.append(call)
    case .open: send(call)
    case .ended(let end): call.finish(.failure(CallFailure.connection(end)))
    }
  }

  /// Tells the daemon that nobody waits for the answer of a stream any more.
  fileprivate func giveUp(_ stream: HTTP2StreamID, _ reason: HTTP2ErrorCode = .cancel) {
    guard calls.removeValue(forKey: stream) != nil else { return }
    write(.rstStream(reason), on: stream)
    context?.flush()
    closeIfDone()
  }

  func end(_ end: ConnectionEnd) {
    if case .ended = state { return }
    state = .ended(end)
    deadline?.cancel()
    let left = waiting + calls.values
    (waiting, calls) = ([], [:])
    for call in left { call.finish(.failure(CallFailure.connection(end))) }
    context?.close(promise: nil)
  }

  func close() -> EventLoopFuture<Void>? {
    let closed = context?.channel.closeFuture
    end(.lost)
    return closed
  }

  private func send(_ call: RunningCall) {
    let stream = nextStream
    nextStream = stream.advanced(by: 2)
    if nextStream > .maxID.advanced(by: -2) { isRetired = true }
    call.place = (self, stream)
    calls[stream] = call
    write(.headers(.init(headers: call.headers)), on: stream)
    write(.data(.init(data: .byteBuffer(call.message), endStream: true)), on: stream)
    context?.flush()
  }

  private func write(_ payload: HTTP2Frame.FramePayload, on stream: HTTP2StreamID) {
    guard let context else { return }
    context.write(wrapOutboundOut(HTTP2Frame(streamID: stream, payload: payload)), promise: nil)
  }

  /// Nothing comes any more on a connection without calls that takes none.
  private func closeIfDone() {
    if isRetired && calls.isEmpty { end(.lost) }
  }
}

// What comes on the streams.
extension UnaryConnection {
  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    switch frame.payload {
    case .headers(let headers):
      receive(on: frame.streamID) { answer throws(CallFailure) in
        try answer.receive(headers.headers, isLast: headers.endStream)
      }
      if headers.endStream { answeredEarly.insert(frame.streamID) }
    case .data(let data):
      guard case .byteBuffer(let bytes) = data.data else { return }
      receive(on: frame.streamID) { answer throws(CallFailure) in
        try answer.receive(bytes, isLast: data.endStream)
        return nil
      }
    case .rstStream(let code):
      guard let call = calls.removeValue(forKey: frame.streamID) else { return }
      fail(call, CallFailure(code))
      closeIfDone()
    case .goAway(let last, let code, _):
      retire(after: last, code)
    case .settings(.settings):
      open()
    default:
      break
    }
  }

  private func receive(
    on stream: HTTP2StreamID, _ body: (inout UnaryAnswer) throws(CallFailure) -> ByteBuffer?
  ) {
    guard let call = calls[stream] else { return }
    do throws(CallFailure) {
      guard let message = try body(&call.answer) else { return }
      calls[stream] = nil
      call.finish(.success(message))
    } catch {
      giveUp(stream)
      call.finish(.failure(error))
    }
    closeIfDone()
  }

  private func fail(_ call: RunningCall, _ failure: CallFailure) {
    guard case .unprocessed = failure, call.mayBeRepeated else {
      return call.finish(.failure(failure))
    }
    call.mayBeRepeated = false
    call.place = nil
    restart(call)
  }

  private func retire(after last: HTTP2StreamID, _ code: HTTP2ErrorCode) {
    isRetired = true
    for (stream, call) in calls where stream > last {
      giveUp(stream)
      fail(call, .unprocessed)
    }
    closeIfDone()
  }

  private func open() {
    switch state {
    case .connecting, .agreedOnTLS: state = .open
    case .open, .ended: return
    }
    deadline?.cancel()
    let calls = waiting
    waiting = []
    for call in calls where !call.isOver { send(call) }
  }
}

// What happens to the connection.
extension UnaryConnection {
  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    if case .ended = state { context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelActive(context: ChannelHandlerContext) {
    deadline = context.eventLoop.assumeIsolated().scheduleTask(in: UnaryClient.patience) { [self] in
      end(.silent)
    }
    context.fireChannelActive()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case let event as NIOHTTP2WindowUpdatedEvent:
      widen(event)
    case let event as StreamClosedEvent:
      answeredEarly.remove(event.streamID)
    case TLSUserEvent.handshakeCompleted:
      if case .connecting = state { state = .agreedOnTLS }
    default: break
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    for stream in answeredEarly { write(.rstStream(.noError), on: stream) }
    if needsFlush || !answeredEarly.isEmpty { context.flush() }
    answeredEarly = []
    needsFlush = false
    context.fireChannelReadComplete()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch state {
    case _ where error is any NIOHTTP2Error: end(.foreign(error.short))
    case .connecting: end(.handshake(error.short))
    case .agreedOnTLS: end(.refused)
    case .open: end(.lost)
    case .ended: break
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    switch state {
    case .connecting: end(.handshake("it closed the connection"))
    case .agreedOnTLS: end(.refused)
    case .open, .ended: end(.lost)
    }
    context.fireChannelInactive()
  }

  /// Lets the daemon send on when half of a window is used up.
  private func widen(_ window: NIOHTTP2WindowUpdatedEvent) {
    guard let size = window.inboundWindowSize, let increment = HTTP2Tuning.windowIncrement(size) else {
      return
    }
    guard window.streamID == .rootStream || calls[window.streamID] != nil else { return }
    write(.windowUpdate(windowSizeIncrement: increment), on: window.streamID)
    needsFlush = true
  }
}

extension CallFailure {
  /// As PROTOCOL-HTTP2.md of gRPC maps them.
  fileprivate init(_ code: HTTP2ErrorCode) {
    let sentence = "the daemon gave the call up (\(code))"
    self =
      switch code {
      case .refusedStream: .unprocessed
      case .cancel: .status(1, sentence)
      case .enhanceYourCalm: .status(8, sentence)
      case .inadequateSecurity: .status(7, sentence)
      default: .status(13, sentence)
      }
  }
}
