internal import Foundation
internal import NIOCore
internal import SwiftProtobuf

/// The answer to a request. The contents of its outputs, most of its bytes, are copied once: to where they are sent from.
struct InferenceResponse: Sendable {
  /// Without raw contents.
  var message = Inference_ModelInferResponse()
  /// One for each output, in their order.
  var rawContents: [[UInt8]] = []

  private static let rawContentsTag: UInt8 = 6 << 3 | 2

  /// All of it as one message, for those who can't do without.
  var whole: Inference_ModelInferResponse {
    var whole = message
    whole.rawOutputContents = rawContents.map { Data($0) }
    return whole
  }

  /// The encoded message behind gRPC's prefix, as ``FramedMessage`` has it.
  /// - Throws: ``ServiceError`` if it is larger than messages can be.
  func framed() throws -> ByteBuffer {
    let head: MessageBytes = try message.serializedBytes()
    let count = rawContents.reduce(head.count) { $0 + 1 + Self.varintByteCount($1.count) + $1.count }
    guard count <= DaemonConfiguration.messageBytesMax else {
      throw ServiceError(
        .resourceExhausted,
        "the outputs make an answer of \(count) bytes, more than the \(DaemonConfiguration.messageBytesMax) that a message can have; "
          + "ask for them in shared memory, or for fewer samples")
    }
    var frame = ByteBuffer(prefixOfMessageWith: count)
    frame.writeImmutableBuffer(head.buffer)
    // Behind all other fields, where SwiftProtobuf would write it too: no field has a higher number.
    for contents in rawContents {
      frame.writeInteger(Self.rawContentsTag)
      Self.write(varint: contents.count, to: &frame)
      frame.writeBytes(contents)
    }
    return frame
  }

  private static func varintByteCount(_ value: Int) -> Int {
    max(1, (Int.bitWidth - value.leadingZeroBitCount + 6) / 7)
  }

  private static func write(varint value: Int, to buffer: inout ByteBuffer) {
    var rest = value
    while rest >= 0x80 {
      buffer.writeInteger(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    buffer.writeInteger(UInt8(rest))
  }
}
