internal import NIOCore

/// A call that is answered on the connection's event loop, as far as that is short work.
final class DirectCall: IncomingCall {
  /// Decoding more takes longer than other calls of the event loop should wait.
  static let smallBytes = 1 << 16

  private enum State {
    case receiving(ByteBuffer)
    /// The task is `nil` until it has been started.
    case answering(Task<Void, Never>?)
    case ended
  }

  private let call: UnaryCall
  private let context: CallContext
  private var state = State.receiving(ByteBuffer())

  init(_ call: UnaryCall, _ context: CallContext) {
    self.call = call
    self.context = context
  }

  private var stream: CallStream { context.stream }

  var isPaused: Bool { false }

  func end() {
    if case .answering(let task) = state { task?.cancel() }
    state = .ended
  }

  func expire() {
    let hasMoreToCome: Bool
    switch state {
    case .receiving: hasMoreToCome = true
    case .answering: hasMoreToCome = false
    case .ended: return
    }
    end()
    stream.fail(.deadlinePassed, hasMoreToCome: hasMoreToCome)
  }

  private func refuse(_ error: ServiceError, hasMoreToCome: Bool = false) {
    state = .ended
    stream.fail(error, hasMoreToCome: hasMoreToCome)
  }
}

// Receiving.
extension DirectCall {
  func receive(_ bytes: ByteBuffer, isLast: Bool) {
    guard case .receiving(var received) = state else { return }
    state = .ended  // gives up its reference to what was received, which would be copied otherwise
    if received.readableBytes == 0 {
      received = bytes
    } else {
      received.writeImmutableBuffer(bytes)
    }
    if let length = received.messageLength {
      do {
        try context.messages.check(length)
        try context.messages.share.grow(to: length)
      } catch {
        return refuse(error, hasMoreToCome: !isLast)
      }
    }
    guard received.readableBytes <= FramedMessage.prefixBytes + (received.messageLength ?? 0) else {
      return refuse(
        ServiceError(.unimplemented, "the call takes one message, and more were sent"), hasMoreToCome: !isLast
      )
    }
    if isLast {
      finishReceiving(received)
    } else {
      state = .receiving(received)
    }
  }

  private func finishReceiving(_ received: ByteBuffer) {
    guard received.readableBytes > 0 else {
      return refuse(ServiceError(.unimplemented, "the call takes one message, and none was sent"))
    }
    var received = received
    guard let message = received.readFramedMessage() else { return refuse(.incomplete) }
    do {
      try context.messages.check(message)
      answer(message)
    } catch {
      refuse(error)
    }
  }
}

// Answering.
extension DirectCall {
  private func answer(_ message: FramedMessage) {
    let loop = stream.connection.eventLoop
    let bound = NIOLoopBound(self, eventLoop: loop)
    let isSmall = message.count <= Self.smallBytes && !message.isCompressed
    let received = Handover(message)
    let work: @Sendable () async -> Void = { [call, caller = context.caller, messages = context.messages] in
      let result: Result<ByteBuffer, ServiceError>
      do {
        result = .success(try await call.answer(try Self.message(received, messages), caller))
      } catch {
        result = .failure(ServiceError(error))
      }
      if loop.inEventLoop {
        bound.value.finish(result)
      } else {
        loop.execute { bound.value.finish(result) }
      }
    }
    state = .answering(nil)
    let task =
      isSmall
      ? Task.immediate(executorPreference: stream.connection.executor, operation: work)
      : Task(executorPreference: globalConcurrentExecutor, operation: work)
    if case .answering = state { state = .answering(task) }
  }

  /// Leaves no reference to the message behind, which the call gives up as soon as it is decoded.
  private static func message(
    _ received: Handover<FramedMessage>, _ messages: IncomingMessages
  ) throws(ServiceError) -> Handover<ByteBuffer> {
    guard let framed = received.take() else { return Handover(ByteBuffer()) }
    let message = try messages.decompressed(framed).message
    try messages.share.grow(to: message.readableBytes)
    return Handover(message)
  }

  private func finish(_ result: Result<ByteBuffer, ServiceError>) {
    guard case .answering = state else { return }
    switch result {
    case .failure(let error): refuse(error)
    case .success(let framed):
      state = .ended
      stream.sendHeaders()
      stream.send(framed)
      stream.succeed()
    }
  }
}
