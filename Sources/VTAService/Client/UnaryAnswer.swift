internal import NIOCore
internal import NIOHPACK

/// Why a call has no answer.
enum CallFailure: Error, Hashable {
  /// The daemon said so: one of gRPC's status codes, and its sentence.
  case status(Int, String)
  /// Something else than a daemon has answered, a proxy for instance: the status of HTTP.
  case http(Int)
  /// What has come is no answer as gRPC defines it.
  case malformed(String)
  /// The daemon has not begun with it.
  case unprocessed
  case connection(ConnectionEnd)
}

/// Puts the answer of a call together from the frames of its stream, as "gRPC over HTTP/2" has them: headers, one message
/// with its prefix, and headers again with the status; or headers alone that say all.
struct UnaryAnswer {
  private let maximumMessageBytes: Int
  private var hasBegun = false
  private var received = ByteBuffer()

  init(maximumMessageBytes: Int) { self.maximumMessageBytes = maximumMessageBytes }

  /// - Returns: The message when this was the end.
  mutating func receive(_ headers: HPACKHeaders, isLast: Bool) throws(CallFailure) -> ByteBuffer? {
    if !hasBegun {
      let status = headers.first(name: ":status").flatMap { Int($0) } ?? 0
      if (100..<200).contains(status) && !isLast { return nil }
      guard status == 200 else { throw .http(status) }
      guard let type = headers.first(name: "content-type"), type.hasPrefix("application/grpc") else {
        throw .malformed("it is not of the type application/grpc")
      }
      hasBegun = true
    }
    guard isLast else { return nil }
    guard let code = headers.first(name: "grpc-status").flatMap({ Int($0) }) else {
      throw .malformed("it ends without a status")
    }
    guard code == 0 else {
      throw .status(code, headers.first(name: "grpc-message")?.percentDecodedFromGRPC ?? "")
    }
    return try message()
  }

  mutating func receive(_ bytes: ByteBuffer, isLast: Bool) throws(CallFailure) {
    guard hasBegun else { throw .malformed("it begins without headers") }
    if received.readableBytes == 0 {
      received = bytes
    } else {
      // Once, not with every power of two.
      received.reserveCapacity(minimumWritableBytes: max(bytes.readableBytes, missingBytes))
      received.writeImmutableBuffer(bytes)
    }
    if let length = received.messageLength {
      guard length <= maximumMessageBytes else {
        throw .malformed("it has \(length) bytes, and \(maximumMessageBytes) is the limit")
      }
      guard missingBytes >= 0 else { throw .malformed("it has more than one message") }
    }
    guard !isLast else { throw .malformed("it ends without a status") }
  }

  private var missingBytes: Int {
    received.messageLength.map { FramedMessage.prefixBytes + $0 - received.readableBytes } ?? 0
  }

  private func message() throws(CallFailure) -> ByteBuffer {
    guard received.messageLength != nil else { throw .malformed("it has no message") }
    guard missingBytes == 0 else { throw .malformed("its message is cut") }
    var message = received
    guard message.readInteger(as: UInt8.self) == 0 else {
      throw .malformed("its message is compressed, which was not asked for")
    }
    message.moveReaderIndex(forwardBy: FramedMessage.prefixBytes - 1)
    return message
  }
}
