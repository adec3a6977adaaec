internal import GRPCCore
internal import NIOCore
internal import NIOHTTP2

/// What the calls of every connection have in common.
struct CallRoutes: Sendable {
  /// Who answers the calls of a path.
  enum Answerer: Sendable {
    case directly(UnaryCall)
    case service(MethodDescriptor)
  }

  let answerers: [String: Answerer]
  /// Gives a call to gRPC Swift.
  let serve: @Sendable (ServiceCall.Work) -> Void
  /// Of one request.
  let maximumMessageBytes: Int
  let memory: RequestMemory
}

/// After the HTTP/2 handler of a connection: the calls on its streams. Streams are no channels of their own here, which
/// would cost more than a small model's run; that handler keeps data back beyond the client's windows.
final class CallConnection: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame
  typealias OutboundOut = HTTP2Frame

  /// For a client without a call to go by itself.
  private static let farewell = TimeAmount.seconds(1)

  private struct Entry {
    let call: any IncomingCall
    let deadline: Scheduled<Void>?
    /// What the client may send more when the call isn't paused any longer.
    var withheld: Int?
  }

  let eventLoop: any EventLoop
  let executor: EventLoopExecutor
  private let routes: CallRoutes
  private let identity: PeerIdentity
  private var context: ChannelHandlerContext?
  private var calls: [HTTP2StreamID: Entry] = [:]
  private var isLeaving = false
  private lazy var caller = context.map { identity.caller(on: $0.pipeline.syncOperations) }

  init(_ routes: CallRoutes, _ identity: PeerIdentity, on eventLoop: any EventLoop) {
    self.routes = routes
    self.identity = identity
    self.eventLoop = eventLoop
    executor = EventLoopExecutor(eventLoop)
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    switch frame.payload {
    case .headers(let headers):
      if let call = calls[frame.streamID]?.call {
        if headers.endStream { call.receive(ByteBuffer(), isLast: true) }
      } else {
        begin(headers, on: frame.streamID)
      }
    case .data(let data):
      guard case .byteBuffer(let bytes) = data.data else { return }
      calls[frame.streamID]?.call.receive(bytes, isLast: data.endStream)
    default:
      break
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case let event as StreamClosedEvent: end(event.streamID)
    case let event as NIOHTTP2WindowUpdatedEvent: widen(event)
    case is ChannelShouldQuiesceEvent: leave()
    default: break
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // That of a stream has reset it.
    if error is NIOHTTP2Errors.StreamError { return }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    for stream in calls.keys { end(stream) }
    context.fireChannelInactive()
  }

  private func begin(_ headers: HTTP2Frame.FramePayload.Headers, on id: HTTP2StreamID) {
    let stream = CallStream(id: id, connection: self)
    let hasMoreToCome = !headers.endStream
    let head: CallHead
    do {
      head = try CallHead(headers.headers)
    } catch {
      return switch error {
      case .status(let error): stream.fail(error, hasMoreToCome: hasMoreToCome)
      case .unknownCompression(let name): stream.refuseCompression(name, hasMoreToCome: hasMoreToCome)
      case .unsupportedMediaType: stream.refuseMediaType(hasMoreToCome: hasMoreToCome)
      }
    }
    guard let answerer = routes.answerers[head.path], let caller else {
      return stream.fail(
        ServiceError(.unimplemented, "there is no method '\(head.path.prefix(200))'"),
        hasMoreToCome: hasMoreToCome)
    }
    let context = CallContext(
      stream: stream, caller: caller,
      messages: IncomingMessages(
        compression: head.compression, maximumBytes: routes.maximumMessageBytes,
        share: RequestMemory.Share(of: routes.memory, for: caller.user)))
    let call: any IncomingCall =
      switch answerer {
      case .directly(let call): DirectCall(call, context)
      case .service(let method): ServiceCall(method, context, serve: routes.serve)
      }
    let deadline = head.timeout.map { timeout in
      eventLoop.assumeIsolated().scheduleTask(in: timeout.amount) { call.expire() }
    }
    calls[id] = Entry(call: call, deadline: deadline)
    if headers.endStream { call.receive(ByteBuffer(), isLast: true) }
  }

  private func end(_ stream: HTTP2StreamID) {
    guard let entry = calls.removeValue(forKey: stream) else { return }
    entry.deadline?.cancel()
    entry.call.end()
    // Later, because the call's last frames may not have been flushed yet.
    if isLeaving && calls.isEmpty { eventLoop.assumeIsolated().execute { self.close() } }
  }

  /// Without a call, the handler before this one closes the connection as soon as the client has read that it is told to go.
  /// A client that reads nothing must not hold up the end of the daemon.
  private func leave() {
    eventLoop.assumeIsolated().scheduleTask(in: Self.farewell) { [self] in
      isLeaving = true
      close()
    }
  }

  private func close() {
    if calls.isEmpty { context?.close(promise: nil) }
  }
}

// What the calls send.
extension CallConnection {
  func write(
    _ payload: HTTP2Frame.FramePayload, on stream: HTTP2StreamID, _ promise: EventLoopPromise<Void>? = nil
  ) {
    guard let context else {
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    context.write(wrapOutboundOut(HTTP2Frame(streamID: stream, payload: payload)), promise: promise)
  }

  func flush() { context?.flush() }
}

// What the client may send.
extension CallConnection {
  private func widen(_ window: NIOHTTP2WindowUpdatedEvent) {
    let stream = window.streamID
    guard let size = window.inboundWindowSize, let increment = HTTP2Tuning.windowIncrement(size) else {
      return
    }
    if stream != .rootStream {
      guard let call = calls[stream]?.call else { return }
      if call.isPaused {
        calls[stream]?.withheld = increment
        return
      }
    }
    widen(stream, by: increment)
  }

  /// The call isn't paused any longer.
  func resume(_ stream: HTTP2StreamID) {
    guard let increment = calls[stream]?.withheld else { return }
    calls[stream]?.withheld = nil
    widen(stream, by: increment)
  }

  private func widen(_ stream: HTTP2StreamID, by increment: Int) {
    write(.windowUpdate(windowSizeIncrement: increment), on: stream)
    flush()
  }
}
