internal import CVTAZlib
internal import NIOCore

/// How a message is compressed on its way; the raw value is its name in HTTP's `Content-Encoding` and in gRPC's
/// `grpc-encoding`.
enum MessageCompression: String, CaseIterable, Sendable {
  case identity
  /// The zlib format, RFC 1950. The name of what is inside of it, raw deflate data, is a misunderstanding as old as
  /// HTTP/1.1; some clients send just that, so it is understood too.
  case deflate
  /// RFC 1952.
  case gzip

  /// The least: zlib's usual 6 makes tensors a fifth smaller at best, and takes several times as long for it.
  private static let effort: Int32 = 1

  /// Takes time in proportion to both sizes: not for an event loop if they are large.
  /// - Parameter limit: Bytes that the message may have; work and memory end there.
  func decompressed(_ bytes: ByteBuffer, limit: Int) throws(CompressionError) -> ByteBuffer {
    switch self {
    case .identity:
      guard bytes.readableBytes <= limit else { throw .tooLarge(limit: limit) }
      return bytes
    case .deflate:
      return try Self.inflate(bytes, Self.hasZlibHeader(bytes) ? VTA_ZLIB_ZLIB : VTA_ZLIB_RAW, limit: limit)
    case .gzip:
      return try Self.inflate(bytes, VTA_ZLIB_GZIP, limit: limit)
    }
  }

  /// Takes time in proportion to the size: not for an event loop if it is large.
  func compressed(_ bytes: ByteBuffer) throws(CompressionError) -> ByteBuffer {
    guard self != .identity else { return bytes }
    var output = ByteBuffer()
    try compress(bytes, into: &output)
    return output
  }

  /// Writes the compressed bytes behind those that the buffer has already.
  func compress(_ bytes: ByteBuffer, into output: inout ByteBuffer) throws(CompressionError) {
    switch self {
    case .identity: output.writeImmutableBuffer(bytes)
    case .deflate: try Self.deflate(bytes, VTA_ZLIB_ZLIB, into: &output)
    case .gzip: try Self.deflate(bytes, VTA_ZLIB_GZIP, into: &output)
    }
  }

  /// Raw deflate data never begins so: its first block would be a stored one with padding that is not zero.
  private static func hasZlibHeader(_ bytes: ByteBuffer) -> Bool {
    guard let header = bytes.getInteger(at: bytes.readerIndex, as: UInt16.self) else { return true }
    return header >> 12 <= 7 && (header >> 8) & 0xf == 8 && header % 31 == 0
  }

  private static func inflate(
    _ bytes: ByteBuffer, _ format: vta_zlib_format, limit: Int
  ) throws(CompressionError) -> ByteBuffer {
    var output = ByteBufferAllocator().buffer(capacity: min(limit, max(2 * bytes.readableBytes, 512)))
    let error = bytes.withUnsafeReadableBytes { input -> CompressionError? in
      guard let stream = vta_inflate_begin(format, input.baseAddress, input.count) else {
        return .outOfMemory
      }
      defer { vta_inflate_end(stream) }
      while true {
        switch step(stream, &output, limit: limit) {
        case nil: return .tooLarge(limit: limit)
        case VTA_ZLIB_MORE?: continue
        case VTA_ZLIB_END?:
          let rest = vta_inflate_rest(stream)
          guard rest > 0 else { return nil }
          guard format == VTA_ZLIB_GZIP, input[input.count - rest] == 0x1f else {
            return .trailingBytes(rest)
          }
          vta_inflate_next_member(stream)
        case VTA_ZLIB_TRUNCATED?: return .truncated
        case VTA_ZLIB_NEEDS_DICTIONARY?: return .corrupt("it needs a dictionary")
        case VTA_ZLIB_NO_MEMORY?: return .outOfMemory
        default: return .corrupt(String(cString: vta_inflate_message(stream)))
        }
      }
    }
    if let error { throw error }
    return output
  }

  /// Appends what comes next; `nil`: it is beyond the limit.
  private static func step(
    _ stream: OpaquePointer, _ output: inout ByteBuffer, limit: Int
  ) -> vta_zlib_status? {
    var status = VTA_ZLIB_MORE
    let room = limit - output.readableBytes
    guard room > 0 else {
      // The end may still have to be read, but no byte must come.
      var (byte, count) = (UInt8(0), 1)
      status = vta_inflate(stream, &byte, &count)
      return count == 0 ? status : nil
    }
    let minimum = output.writableBytes > 0 ? 1 : min(room, output.readableBytes)
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: minimum) { writable in
      var count = min(room, writable.count)
      status = vta_inflate(stream, writable.baseAddress, &count)
      return count
    }
    return status
  }

  private static func deflate(
    _ bytes: ByteBuffer, _ format: vta_zlib_format, into output: inout ByteBuffer
  ) throws(CompressionError) {
    guard let stream = vta_deflate_begin(format, effort) else { throw .outOfMemory }
    defer { vta_deflate_end(stream) }
    let bound = vta_deflate_bound(stream, bytes.readableBytes)
    // More than a buffer holds.
    guard bound <= Int(Int32.max) - output.writerIndex else { throw .tooLarge(limit: Int(Int32.max)) }
    let status = bytes.withUnsafeReadableBytes { input in
      var status = VTA_ZLIB_NO_MEMORY
      output.writeWithUnsafeMutableBytes(minimumWritableBytes: bound) { writable in
        var count = writable.count
        status = vta_deflate(stream, input.baseAddress, input.count, writable.baseAddress, &count)
        return count
      }
      return status
    }
    guard status == VTA_ZLIB_END else { throw .outOfMemory }
  }
}

/// Why a message can't be decompressed or compressed.
enum CompressionError: Error, Equatable, CustomStringConvertible {
  /// It ends before its end.
  case truncated
  /// zlib's own words.
  case corrupt(String)
  /// As many bytes follow the end.
  case trailingBytes(Int)
  /// It has more bytes than the limit.
  case tooLarge(limit: Int)
  case outOfMemory

  /// What is said of "the message".
  var description: String {
    switch self {
    case .truncated: "the compressed data ends too early"
    case .corrupt(let why): "the compressed data is damaged: \(why)"
    case .trailingBytes(let count): "\(count) bytes follow the end of the compressed data"
    case .tooLarge(let limit): "the data has more than \(limit) bytes when decompressed"
    case .outOfMemory: "there is no memory to compress or decompress data"
    }
  }
}
