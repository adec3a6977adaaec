internal import GRPCCore
internal import NIOCore

/// A call that a service answers through gRPC Swift: its messages on their way in and out.
final class ServiceCall: IncomingCall {
  /// The service's part of a call.
  struct Work: Sendable {
    let stream: RPCStream<CallTransport.Inbound, CallTransport.Outbound>
    let caller: Caller
    /// Must be called first, with what the service is told through that nobody waits any more.
    let begin: @Sendable (ServerContext.RPCCancellationHandle) -> Void
  }

  private typealias Messages = NIOThrowingAsyncSequenceProducer<
    RPCRequestPart<FramedMessage>, any Error, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark,
    Demand
  >

  private let context: CallContext
  private var received = ByteBuffer()
  /// Whether the message that is being received has its memory.
  private var isAdmitted = false
  private var source: Messages.Source?
  /// `nil` until the service has begun.
  private var cancellation: ServerContext.RPCCancellationHandle?
  private var hasSentHeaders = false
  private var hasReceivedAll = false
  private var hasEnded = false
  /// The service has messages enough for the moment.
  private(set) var isPaused = false

  init(_ method: MethodDescriptor, _ context: CallContext, serve: (Work) -> Void) {
    self.context = context
    let call = NIOLoopBound(self, eventLoop: context.stream.connection.eventLoop)
    let accepted = context.messages
    let messages = Messages.makeSequence(
      backPressureStrategy: .init(lowWatermark: 1, highWatermark: 4), finishOnDeinit: true,
      delegate: Demand(call: call))
    source = messages.source
    // Where the service waits for it, off the event loop.
    let inbound = messages.sequence.map { part in
      guard case .message(let message) = part else { return part }
      accepted.share.shrink(by: message.count)
      return .message(try accepted.decompressed(message))
    }
    let outbound = RPCWriter.Closable(wrapping: CallWriter(call: call))
    serve(
      Work(
        stream: RPCStream(
          descriptor: method, inbound: RPCAsyncSequence(wrapping: inbound), outbound: outbound),
        caller: context.caller,
        begin: { cancellation in call.eventLoop.execute { call.value.begun(cancellation) } }))
    yield(.metadata([Caller.headerName: .string(context.caller.headerValue)]))
  }

  private var stream: CallStream { context.stream }

  func end() {
    guard !hasEnded else { return }
    hasEnded = true
    cancellation?.cancel()
    source?.finish(CancellationError())
    source = nil
  }

  func expire() { refuse(.deadlinePassed) }

  private func refuse(_ error: ServiceError) {
    guard !hasEnded else { return }
    end()
    stream.fail(error, afterHeaders: hasSentHeaders, hasMoreToCome: !hasReceivedAll)
  }

  private func begun(_ cancellation: ServerContext.RPCCancellationHandle) {
    if hasEnded { cancellation.cancel() } else { self.cancellation = cancellation }
  }
}

// Receiving.
extension ServiceCall {
  func receive(_ bytes: ByteBuffer, isLast: Bool) {
    guard !hasEnded else { return }
    hasReceivedAll = isLast
    if received.readableBytes == 0 {
      received = bytes
    } else {
      received.writeImmutableBuffer(bytes)
    }
    do {
      while let length = received.messageLength {
        if !isAdmitted {
          try context.messages.check(length)
          try context.messages.share.grow(by: length)
          isAdmitted = true
        }
        guard let message = received.readFramedMessage() else { break }
        isAdmitted = false
        try context.messages.check(message)
        yield(.message(message))
      }
      received.discardReadBytes()
      if isLast {
        guard received.readableBytes == 0 else { throw ServiceError.incomplete }
        source?.finish()
        source = nil
      }
    } catch {
      refuse(ServiceError(error))
    }
  }

  private func yield(_ part: RPCRequestPart<FramedMessage>) {
    if case .stopProducing = source?.yield(part) { isPaused = true }
  }

  /// The service wants more.
  fileprivate func resume() {
    guard isPaused, !hasEnded else { return }
    isPaused = false
    stream.connection.resume(stream.id)
  }

  private struct Demand: NIOAsyncSequenceProducerDelegate {
    let call: NIOLoopBound<ServiceCall>

    func produceMore() { call.eventLoop.execute { call.value.resume() } }
    func didTerminate() {}
  }
}

// Answering.
extension ServiceCall {
  /// - Returns: Fulfilled when there is room for more.
  fileprivate func send(_ part: RPCResponsePart<FramedMessage>) -> EventLoopFuture<Void> {
    let loop = stream.connection.eventLoop
    guard !hasEnded else { return loop.makeFailedFuture(CancellationError()) }
    switch part {
    case .metadata:  // of which our services have none
      sendHeaders()
    case .message(let message):
      sendHeaders()
      let promise = loop.makePromise(of: Void.self)
      stream.send(message.buffer, promise)
      stream.connection.flush()
      return promise.futureResult
    case .status(let status, _):
      finish(status)
    }
    return loop.makeSucceededVoidFuture()
  }

  private func sendHeaders() {
    guard !hasSentHeaders else { return }
    hasSentHeaders = true
    stream.sendHeaders()
    stream.connection.flush()
  }

  private func finish(_ status: Status) {
    let (hasMoreToCome, stream) = (!hasReceivedAll, stream)
    end()
    if status.code == .ok {
      if !hasSentHeaders { stream.sendHeaders() }
      stream.succeed(hasMoreToCome: hasMoreToCome)
    } else {
      stream.fail(
        code: status.code.rawValue, status.message, afterHeaders: hasSentHeaders, hasMoreToCome: hasMoreToCome
      )
    }
  }

  /// The service writes no more.
  fileprivate func close() { refuse(ServiceError(.internal, "the call ended without a status")) }
}

/// Where a service writes its answers to.
private struct CallWriter: ClosableRPCWriterProtocol {
  let call: NIOLoopBound<ServiceCall>

  func write(_ part: RPCResponsePart<FramedMessage>) async throws {
    try await call.eventLoop.flatSubmit { call.value.send(part) }.get()
  }

  func write(contentsOf parts: some Sequence<RPCResponsePart<FramedMessage>>) async throws {
    for part in parts { try await write(part) }
  }

  func finish() async { call.eventLoop.execute { call.value.close() } }

  func finish(throwing error: any Error) async { await finish() }
}
