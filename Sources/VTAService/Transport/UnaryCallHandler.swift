internal import GRPCCore
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// On each HTTP/2 stream, before gRPC Swift: answers the calls that it is given, on the connection's event loop as far as
/// they are short. Everything else passes, also requests that are unusual in their headers: gRPC Swift knows what to say.
/// The protocol is "gRPC over HTTP/2" (PROTOCOL-HTTP2.md of gRPC), the statuses are those of its statuscodes.md.
final class UnaryCallHandler: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload
  typealias OutboundOut = HTTP2Frame.FramePayload

  /// Decoding more takes longer than other calls of the event loop should wait.
  static let smallBytes = 1 << 16

  private enum State {
    case waiting
    case receiving(UnaryCall, ByteBuffer)
    /// The task is `nil` until it has been started.
    case answering(Task<Void, Never>?)
    case ended
    case passing
  }

  private let calls: [String: UnaryCall]
  private let caller: Caller
  private let maximumMessageBytes: Int
  private var state = State.waiting
  private var deadline: Scheduled<Void>?

  init(_ calls: [String: UnaryCall], caller: Caller, maximumMessageBytes: Int) {
    self.calls = calls
    self.caller = caller
    self.maximumMessageBytes = maximumMessageBytes
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    switch (state, frame) {
    case (.passing, _):
      context.fireChannelRead(data)
    case (_, .rstStream):
      end()
    case (.waiting, .headers(let headers)):
      begin(headers, context)
    case (.waiting, _):
      state = .passing
      context.fireChannelRead(data)
    case (.receiving(let call, let received), .data(let data)):
      guard case .byteBuffer(let bytes) = data.data else { return }
      state = .ended  // gives up its reference to what was received, which would be copied otherwise
      receive(bytes, after: received, of: call, isLast: data.endStream, context)
    case (.receiving(let call, let received), .headers(let trailers)) where trailers.endStream:
      finishReceiving(received, of: call, context)
    default:
      break
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    if case .passing = state {} else { end() }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard case .passing = state else { return end() }
    context.fireErrorCaught(error)
  }

  /// The client has left, or its connection has.
  private func end() {
    deadline?.cancel()
    if case .answering(let task) = state { task?.cancel() }
    state = .ended
  }
}

// Receiving.
extension UnaryCallHandler {
  private func begin(
    _ headers: HTTP2Frame.FramePayload.Headers, _ context: ChannelHandlerContext
  ) {
    let timeout: GRPCTimeout?
    do {
      timeout = try GRPCTimeout(headers.headers)
    } catch {
      return refuse(error, hasMoreToCome: !headers.endStream, context)
    }
    guard let call = call(headers.headers) else {
      var headers = headers
      headers.headers.remove(name: GRPCTimeout.headerName)
      if let timeout { headers.headers.add(name: GRPCTimeout.headerName, value: timeout.headerValue) }
      state = .passing
      return context.fireChannelRead(wrapInboundOut(.headers(headers)))
    }
    if let limit = timeout?.amount {
      deadline = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { [self] in
        expire(context)
      }
    }
    let empty = ByteBuffer()
    if headers.endStream {
      finishReceiving(empty, of: call, context)
    } else {
      state = .receiving(call, empty)
    }
  }

  /// The call that an ordinary request is for.
  private func call(_ headers: HPACKHeaders) -> UnaryCall? {
    guard let path = headers.first(name: ":path"), let call = calls[path],
      headers.first(name: ":method") == "POST", headers.first(name: "te") == "trailers",
      ["application/grpc", "application/grpc+proto"].contains(headers.first(name: "content-type")),
      [nil, "identity"].contains(headers.first(name: "grpc-encoding"))
    else { return nil }
    return call
  }

  private func receive(
    _ bytes: ByteBuffer, after received: ByteBuffer, of call: UnaryCall, isLast: Bool,
    _ context: ChannelHandlerContext
  ) {
    var received = received
    if received.readableBytes == 0 {
      received = bytes
    } else {
      received.writeImmutableBuffer(bytes)
    }
    if let length = received.messageLength, length > maximumMessageBytes {
      return refuse(
        ServiceError(
          .resourceExhausted,
          "the message has \(length) bytes; the daemon takes at most \(maximumMessageBytes) "
            + "(the key max_message_bytes)"), hasMoreToCome: !isLast, context)
    }
    guard received.readableBytes <= FramedMessage.prefixBytes + (received.messageLength ?? 0) else {
      return refuse(
        ServiceError(.unimplemented, "the call takes one message, and more were sent"),
        hasMoreToCome: !isLast, context)
    }
    if isLast {
      finishReceiving(received, of: call, context)
    } else {
      state = .receiving(call, received)
    }
  }

  private func finishReceiving(_ received: ByteBuffer, of call: UnaryCall, _ context: ChannelHandlerContext) {
    var message = received
    guard let isCompressed = message.readInteger(as: UInt8.self) else {
      return refuse(ServiceError(.unimplemented, "the call takes one message, and none was sent"), context)
    }
    guard let length = message.readInteger(as: UInt32.self), message.readableBytes == length else {
      return refuse(ServiceError(.internal, "the message ends before the length in its prefix"), context)
    }
    guard isCompressed == 0 else {
      return refuse(
        ServiceError(.internal, "the message is marked as compressed, but grpc-encoding names no algorithm"),
        context)
    }
    answer(call, message, context)
  }
}

// Answering.
extension UnaryCallHandler {
  private func answer(_ call: UnaryCall, _ message: ByteBuffer, _ context: ChannelHandlerContext) {
    let loop = context.eventLoop
    let bound = NIOLoopBound((self, context), eventLoop: loop)
    let isSmall = message.readableBytes <= Self.smallBytes
    let received = Handover(message)
    let work: @Sendable () async -> Void = { [caller] in
      let result: Result<ByteBuffer, ServiceError>
      do {
        result = .success(try await call.answer(received, caller))
      } catch {
        result = .failure(ServiceError(error))
      }
      let finish = { @Sendable in
        let (handler, context) = bound.value
        handler.finish(result, context)
      }
      if loop.inEventLoop { finish() } else { loop.execute(finish) }
    }
    state = .answering(nil)
    let task =
      isSmall
      ? Task.immediate(executorPreference: EventLoopExecutor(loop), operation: work)
      : Task(executorPreference: globalConcurrentExecutor, operation: work)
    if case .answering = state { state = .answering(task) }
  }

  private func finish(_ result: Result<ByteBuffer, ServiceError>, _ context: ChannelHandlerContext) {
    guard case .answering = state else { return }
    switch result {
    case .failure(let error): refuse(error, context)
    case .success(let framed):
      deadline?.cancel()
      state = .ended
      write(.headers(.init(headers: Self.answerHeaders)), context)
      write(.data(.init(data: .byteBuffer(framed))), context)
      write(.headers(.init(headers: ["grpc-status": "0"], endStream: true)), context)
      context.flush()
    }
  }

  /// - Parameter hasMoreToCome: The client is still sending; it is told to stop.
  private func refuse(
    _ error: ServiceError, hasMoreToCome: Bool = false, _ context: ChannelHandlerContext
  ) {
    deadline?.cancel()
    state = .ended
    var headers = Self.answerHeaders
    headers.add(name: "grpc-status", value: "\(error.rpcErrorCode.rawValue)")
    headers.add(name: "grpc-message", value: error.description.percentEncodedForGRPC)
    write(.headers(.init(headers: headers, endStream: true)), context)
    if hasMoreToCome { write(.rstStream(.noError), context) }
    context.flush()
  }

  private func expire(_ context: ChannelHandlerContext) {
    var hasMoreToCome = false
    switch state {
    case .receiving: hasMoreToCome = true
    case .answering(let task): task?.cancel()
    case .waiting, .ended, .passing: return
    }
    refuse(
      ServiceError(.deadlineExceeded, "the call's deadline has passed"), hasMoreToCome: hasMoreToCome,
      context)
  }

  private func write(_ frame: HTTP2Frame.FramePayload, _ context: ChannelHandlerContext) {
    context.write(wrapOutboundOut(frame), promise: nil)
  }

  private static let answerHeaders: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]
}
