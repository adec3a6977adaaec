import NIOCore
import Testing
import VTA

@testable import VTAService

/// Against data that Python's zlib and gzip made, which are the same library behind another door.
@Suite struct MessageCompressionTests {
  private static let text = String(repeating: "VTA, the Versatile Tensor Accelerator. ", count: 3)

  struct Recorded: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let algorithm: MessageCompression
    let bytes: [UInt8]
    var text = MessageCompressionTests.text

    init(_ what: String, _ algorithm: MessageCompression, _ hex: String, text: String? = nil) {
      testDescription = what
      self.algorithm = algorithm
      bytes = stride(from: 0, to: hex.utf8.count, by: 2).compactMap {
        UInt8(hex.dropFirst($0).prefix(2), radix: 16)
      }
      if let text { self.text = text }
    }
  }

  private static let wrapped = [
    Recorded(
      "zlib.compress(text, 9)", .deflate,
      "78da0b0b71d45128c94855084b2d2a4e2cc9cc49550849cd2bce2f52704c4e4ecd492d4a2cc92fd25308a3aa320068fa2920"),
    Recorded(
      "zlib.compress(text, 0)", .deflate,
      "78010175008aff5654412c2074686520566572736174696c652054656e736f7220416363656c657261746f722e20"
        + "5654412c2074686520566572736174696c652054656e736f7220416363656c657261746f722e20"
        + "5654412c2074686520566572736174696c652054656e736f7220416363656c657261746f722e2068fa2920"),
    Recorded(
      "zlib with a window of 512 bytes", .deflate,
      "18950b0b71d45128c94855084b2d2a4e2cc9cc49550849cd2bce2f52704c4e4ecd492d4a2cc92fd25308a3aa320068fa2920"),
    Recorded("zlib.compress(nothing)", .deflate, "789c030000000001", text: ""),
    Recorded(
      "gzip.compress(text)", .gzip,
      "1f8b08000000000002030b0b71d45128c94855084b2d2a4e2cc9cc49550849cd2bce2f52704c4e4ecd492d4a2cc92fd2"
        + "5308a3aa32000526525575000000"),
    Recorded(
      "gzip with extra field, name, comment and the header's checksum", .gzip,
      "1f8b081e0102030400030400616200006e616d6500636f6d6d656e740076910b0b71d45128c94855084b2d2a4e2cc9cc4955"
        + "0849cd2bce2f52704c4e4ecd492d4a2cc92fd25308a3aa32000526525575000000"),
    Recorded(
      "gzip with a synchronization and a full flush", .gzip,
      "1f8b08000000000000030a0b71d45128c94855084b2d2a4e2cc9cc49550801000000ffff4acd2bce2f52704c4e4ecd49"
        + "2d4a2cc92fd25308c3a60c000000ffffcb2bce2f52704c4e4ecd492d4a2cc92fd253080b71d45128c94855084b2d2a4e"
        + "2cc9cc49550849cdc35006000526525575000000"),
    Recorded("gzip.compress(nothing)", .gzip, "1f8b080000000000020303000000000000000000", text: ""),
  ]

  private static let raw = [
    Recorded(
      "raw deflate", .deflate,
      "0b0b71d45128c94855084b2d2a4e2cc9cc49550849cd2bce2f52704c4e4ecd492d4a2cc92fd25308a3aa3200"),
    Recorded(
      "raw deflate, a stored block", .deflate,
      "012700d8ff5654412c2074686520566572736174696c652054656e736f7220416363656c657261746f722e20",
      text: String(text.prefix(39))),
    Recorded("raw deflate of nothing", .deflate, "0300", text: ""),
  ]

  private static func decompressed(
    _ bytes: some Sequence<UInt8>, _ algorithm: MessageCompression, limit: Int = 1 << 20
  ) -> Result<[UInt8], CompressionError> {
    Result { () throws(CompressionError) in
      // Behind something else, as gRPC's prefix.
      var buffer = ByteBuffer(bytes: [9, 9, 9] + Array(bytes))
      buffer.moveReaderIndex(forwardBy: 3)
      return Array(try algorithm.decompressed(buffer, limit: limit).readableBytesView)
    }
  }

  @Test func namesAreThoseOfTheProtocols() {
    #expect(MessageCompression.allCases.map(\.rawValue) == ["identity", "deflate", "gzip"])
  }

  @Test(arguments: wrapped + raw)
  func recordedDataIsRead(_ recorded: Recorded) {
    #expect(Self.decompressed(recorded.bytes, recorded.algorithm) == .success(Array(recorded.text.utf8)))
  }

  @Test(arguments: wrapped + raw)
  func whatEndsTooEarlyIsRefused(_ recorded: Recorded) {
    for count in recorded.bytes.indices {
      #expect(
        Self.decompressed(recorded.bytes.prefix(count), recorded.algorithm) == .failure(.truncated),
        "after \(count) bytes")
    }
  }

  /// Its checksum tells, unless the bit is one that says nothing of the content, as the time in gzip's header.
  @Test(arguments: wrapped)
  func eachWrongBitIsNoticed(_ recorded: Recorded) {
    var refused = 0
    for bit in 0..<(8 * recorded.bytes.count) {
      var bytes = recorded.bytes
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      switch Self.decompressed(bytes, recorded.algorithm) {
      case .success(let content): #expect(content == Array(recorded.text.utf8), "bit \(bit)")
      case .failure: refused += 1
      }
    }
    #expect(refused > 4 * recorded.bytes.count)
  }

  @Test(arguments: wrapped + raw)
  func whatFollowsTheEndIsRefused(_ recorded: Recorded) {
    for garbage in [[0], [1, 2, 3], Array(repeating: 0, count: 5000)] as [[UInt8]] {
      #expect(
        Self.decompressed(recorded.bytes + garbage, recorded.algorithm)
          == .failure(.trailingBytes(garbage.count)))
    }
  }

  /// RFC 1952, section 2.2.
  @Test func severalMembersOfGzipAreOneMessage() {
    let member = Self.wrapped[4].bytes
    let empty = Self.wrapped[7].bytes
    let text = Array(Self.text.utf8)
    #expect(Self.decompressed(member + empty + member, .gzip) == .success(text + text))
    #expect(Self.decompressed(member + member.dropLast(), .gzip) == .failure(.truncated))
    #expect(Self.decompressed(member + [0x1f], .gzip) == .failure(.truncated))
    #expect(Self.decompressed(member + [0x1f, 0, 0], .gzip) == .failure(.corrupt("incorrect header check")))
    #expect(Self.decompressed(member + member, .gzip, limit: 2 * text.count - 1).isTooLarge)
    let zlib = Self.wrapped[0].bytes
    #expect(Self.decompressed(zlib + zlib, .deflate) == .failure(.trailingBytes(zlib.count)))
  }

  @Test func whatNeedsADictionaryIsRefused() {
    let recorded = Recorded(
      "", .deflate,
      "78bb191304660b0b71d45128c94855084b2d2a4e2cc9cc49550849cd2bce2f5270"
        + "4428d253a0ae320068fa2920")
    #expect(Self.decompressed(recorded.bytes, .deflate) == .failure(.corrupt("it needs a dictionary")))
  }

  @Test func otherFormatsAreRefused() {
    #expect(
      Self.decompressed(Self.wrapped[0].bytes, .gzip) == .failure(.corrupt("incorrect header check")))
    for bytes in [Self.wrapped[4].bytes, Array("{\"inputs\": []}".utf8)] {
      guard case .failure(.corrupt) = Self.decompressed(bytes, .deflate) else {
        Issue.record("read: \(bytes)")
        continue
      }
    }
    for algorithm in [MessageCompression.deflate, .gzip] {
      #expect(Self.decompressed([], algorithm) == .failure(.truncated))
    }
    #expect(Self.decompressed([], .identity) == .success([]))
  }

  /// Sizes around those at which buffers grow; noise, which does not become smaller, and what becomes very small.
  @Test(arguments: MessageCompression.allCases, [0, 1, 2, 511, 512, 513, 65_535, 65_536, 1_000_003])
  func whatIsCompressedIsReadAgain(_ algorithm: MessageCompression, _ count: Int) throws {
    var random = SeededGenerator(seed: UInt64(count))
    let noise = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    for bytes in [noise, [UInt8](repeating: 7, count: count), (0..<count).map { UInt8(($0 >> 4) & 255) }] {
      let compressed = try algorithm.compressed(ByteBuffer(bytes: bytes))
      #expect(compressed.readableBytes <= count + count / 8 + 64)
      #expect(try algorithm.decompressed(compressed, limit: count) == ByteBuffer(bytes: bytes))
      // Behind what is in the buffer.
      var buffer = ByteBuffer(string: "prefix")
      try algorithm.compress(ByteBuffer(bytes: bytes), into: &buffer)
      #expect(buffer.readString(length: 6) == "prefix")
      #expect(buffer == compressed)
      if count > 0 {
        #expect(throws: CompressionError.tooLarge(limit: count - 1)) {
          try algorithm.decompressed(compressed, limit: count - 1)
        }
      }
    }
  }

  @Test(arguments: [MessageCompression.deflate, .gzip])
  func bombsAreStoppedAtTheLimit(_ algorithm: MessageCompression) throws {
    var bomb = try algorithm.compressed(ByteBuffer(repeating: 0, count: 64 << 20))
    #expect(bomb.readableBytes < 1 << 19)
    for limit in [0, 1, 4096, 1 << 20, (64 << 20) - 1] {
      #expect(throws: CompressionError.tooLarge(limit: limit)) {
        try algorithm.decompressed(bomb, limit: limit)
      }
    }
    // Nothing behind the limit is read: damage there is not seen.
    let damaged = ByteBuffer(repeating: 0xff, count: 100)
    bomb.setBuffer(damaged, at: bomb.writerIndex - 100)
    #expect(throws: CompressionError.tooLarge(limit: 4096)) {
      try algorithm.decompressed(bomb, limit: 4096)
    }
  }

  /// Nothing traps, and what is read is within the limit.
  @Test(arguments: 0..<8)
  func noiseIsRefusedOrShort(_ seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    for round in 0..<2000 {
      var bytes = Self.wrapped[round % Self.wrapped.count].bytes
      switch Int.random(in: 0..<4, using: &random) {
      // A right beginning, and noise behind it.
      case 0:
        bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
        bytes += (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
      case 1: bytes = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
      case 2: bytes.remove(at: Int.random(in: bytes.indices, using: &random))
      default:
        for _ in 0..<3 {
          bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
      }
      for algorithm in [MessageCompression.deflate, .gzip] {
        if case .success(let content) = Self.decompressed(bytes, algorithm, limit: 300) {
          #expect(content.count <= 300)
        }
      }
    }
  }

  @Test func errorsAreSentences() {
    let errors: [CompressionError] = [
      .truncated, .corrupt("incorrect header check"), .trailingBytes(3), .tooLarge(limit: 10), .outOfMemory,
    ]
    for error in errors { #expect("\(error)".split(separator: " ").count >= 6) }
  }
}

extension Result where Failure == CompressionError {
  fileprivate var isTooLarge: Bool {
    if case .failure(.tooLarge) = self { true } else { false }
  }
}
