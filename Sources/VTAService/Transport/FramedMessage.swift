internal import GRPCCore
internal import NIOCore
internal import SwiftProtobuf

/// An encoded message in a buffer of NIO's, so that it is decoded where it was received.
struct MessageBytes: SwiftProtobufContiguousBytes {
  private(set) var buffer: ByteBuffer

  init(buffer: ByteBuffer) { self.buffer = buffer }

  init(repeating byte: UInt8, count: Int) { buffer = ByteBuffer(repeating: byte, count: count) }

  init(_ bytes: some Sequence<UInt8>) { buffer = ByteBuffer(bytes: bytes) }

  var count: Int { buffer.readableBytes }

  func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeReadableBytes(body)
  }

  mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeMutableReadableBytes(body)
  }
}

/// A message with gRPC's prefix (a byte that says whether it is compressed, its length in four bytes, big-endian),
/// encoded right where it is sent from.
struct FramedMessage: SwiftProtobufContiguousBytes, GRPCContiguousBytes {
  static let prefixBytes = 5

  private(set) var buffer: ByteBuffer

  /// - Parameter buffer: A message with its prefix.
  fileprivate init(buffer: ByteBuffer) { self.buffer = buffer }

  /// - Parameter message: Without a prefix; it is copied.
  init(message: ByteBuffer) {
    self.init(count: message.readableBytes)
    buffer.writeImmutableBuffer(message)
  }

  private init(count: Int) {
    buffer = ByteBuffer(prefixOfMessageWith: count)
  }

  /// - Parameter count: Below 2 GiB, protobuf's own limit.
  init(repeating byte: UInt8, count: Int) {
    self.init(count: count)
    buffer.writeRepeatingByte(byte, count: count)
  }

  init(_ bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    self.init(count: bytes.count)
    buffer.writeBytes(bytes)
  }

  var count: Int { buffer.readableBytes - Self.prefixBytes }

  /// Without the prefix.
  var message: ByteBuffer {
    var message = buffer
    message.moveReaderIndex(forwardBy: Self.prefixBytes)
    return message
  }

  var isCompressed: Bool { buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) != 0 }

  func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeReadableBytes { try body(.init(rebasing: $0.dropFirst(Self.prefixBytes))) }
  }

  mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
    try buffer.withUnsafeMutableReadableBytes {
      try body(.init(rebasing: $0.dropFirst(Self.prefixBytes)))
    }
  }
}

extension ByteBuffer {
  /// gRPC's prefix, with room for the message behind it.
  init(prefixOfMessageWith count: Int) {
    self = ByteBufferAllocator().buffer(capacity: FramedMessage.prefixBytes + count)
    writeInteger(UInt8(0))
    writeInteger(UInt32(count))
  }

  /// What gRPC's prefix says; `nil` until it is whole.
  var messageLength: Int? { getInteger(at: readerIndex + 1, as: UInt32.self).map { Int($0) } }

  /// The next message; `nil` while it isn't whole.
  mutating func readFramedMessage() -> FramedMessage? {
    guard let length = messageLength, let framed = readSlice(length: FramedMessage.prefixBytes + length)
    else {
      return nil
    }
    return FramedMessage(buffer: framed)
  }
}
