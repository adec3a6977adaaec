/// What messages a call takes.
struct IncomingMessages: Sendable {
  /// Of those that say that they are compressed.
  let compression: MessageCompression
  /// Of one, also when it is decompressed.
  let maximumBytes: Int
  /// What they take of their user's memory.
  let share: RequestMemory.Share

  /// - Parameter length: In bytes, as the prefix of the message says.
  func check(_ length: Int) throws(ServiceError) {
    guard length <= maximumBytes else { throw .tooLong(length, limit: maximumBytes) }
  }

  func check(_ message: FramedMessage) throws(ServiceError) {
    guard !message.isCompressed || compression != .identity else {
      throw ServiceError(
        .internal, "the message is marked as compressed, but grpc-encoding names no algorithm")
    }
  }

  /// Takes time if the message is compressed: not for an event loop.
  func decompressed(_ message: FramedMessage) throws(ServiceError) -> FramedMessage {
    guard message.isCompressed else { return message }
    let room = share.room(upTo: maximumBytes)
    do {
      return FramedMessage(message: try compression.decompressed(message.message, limit: room))
    } catch {
      switch error {
      case .tooLarge where room < maximumBytes: throw share.refusal
      case .tooLarge: throw .tooLong(nil, limit: maximumBytes)
      case .outOfMemory: throw ServiceError(.resourceExhausted, "\(error)")
      default: throw ServiceError(.internal, "the message: \(error)")
      }
    }
  }
}
