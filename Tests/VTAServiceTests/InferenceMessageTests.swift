import Foundation
import NIOCore
import SwiftProtobuf
import Testing
import VTA

@testable import VTAService

/// Requests and answers whose raw contents are kept apart from the message, against SwiftProtobuf.
@Suite struct InferenceMessageTests {
  private typealias Message = Inference_ModelInferRequest

  /// `nil`: refused.
  private static func read(_ bytes: [UInt8]) -> Message? {
    // Behind something else, as gRPC's prefix.
    var buffer = ByteBuffer(bytes: [9, 9, 9, 9, 9] + bytes)
    buffer.moveReaderIndex(forwardBy: 5)
    guard let request = try? InferenceRequest(encoded: buffer) else { return nil }
    var message = request.message
    #expect(message.rawInputContents.isEmpty)
    let raw = request.rawContents.take() ?? []
    #expect(raw.reduce(0) { $0 + $1.count } == request.rawByteCount)
    message.rawInputContents = raw.map { Data($0.bytes) }
    #expect(request.rawContents.take() == nil)
    return message
  }

  private static func expectSame(_ bytes: [UInt8], _ comment: Comment? = nil) {
    #expect(read(bytes) == (try? Message(serializedBytes: bytes)), comment)
  }

  @Test func requestsOfClientsAreTakenApart() throws {
    let message = Message.with {
      $0.modelName = "m"
      $0.inputs = [.with { $0.name = "x" }, .with { $0.name = "y" }]
      $0.rawInputContents = [Data([1, 2, 3]), Data(), Data(repeating: 4, count: 300)]
    }
    let bytes: [UInt8] = try message.serializedBytes()
    let parts = try #require(EncodedRequestParts(ByteBuffer(bytes: bytes)))
    #expect(parts.rawContents.map(\.count) == [3, 0, 300])
    #expect(Self.read(bytes) == message)
  }

  @Test(
    arguments: [
      [], [0x3a], [0x3a, 0x02, 1], [0x3a, 0x02, 1, 2],
      // A length of more bytes than it needs, one that is too long, one beyond 64 bits.
      [0x3a, 0x81, 0x80, 0x00, 7], [0x3a, 0x81, 0x80, 0x80, 0x80, 0x80, 0x00, 7],
      [0x3a] + [UInt8](repeating: 0xff, count: 9) + [0x01], [0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f],
      [0x3a] + [UInt8](repeating: 0xff, count: 11),
      // The tag in two bytes; field 0; a field that the protocol does not have; the largest one.
      [0xba, 0x00, 0x01, 7], [0x02, 0x01, 7], [0x7a, 0x01, 7], [0xfa, 0xff, 0xff, 0xff, 0x0f, 0x01, 7],
      // The field with other wire types, the two unused ones included.
      [0x38, 5], [0x39, 1, 2, 3, 4, 5, 6, 7, 8], [0x3d, 1, 2, 3, 4], [0x3e, 1], [0x3f, 1],
      // In groups: of another field, of its own, not closed, closed without being open.
      [0x7b, 0x3a, 0x01, 7, 0x7c], [0x3b, 0x3a, 0x01, 7, 0x3c], [0x7b, 0x3a, 0x01, 7], [0x3c],
      // No UTF-8 in the model's name; a name in two parts around raw contents.
      [0x0a, 0x01, 0xff], [0x0a, 0x01, 0x61, 0x3a, 0x01, 7, 0x0a, 0x01, 0x62, 0x3a, 0x00],
    ] as [[UInt8]])
  func strangeEncodingsMeanWhatProtobufSays(_ bytes: [UInt8]) {
    Self.expectSame(bytes)
  }

  @Test(arguments: 0..<20)
  func randomEncodingsMeanWhatProtobufSays(_ seed: Int) throws {
    var random = SeededGenerator(seed: UInt64(seed))
    var refused = 0
    for _ in 0..<500 {
      var bytes = (0..<Int.random(in: 0..<8, using: &random)).flatMap { _ in Self.field(&random) }
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
      case 1 where !bytes.isEmpty:
        bytes[Int.random(in: bytes.indices, using: &random)] = .random(in: 0...255, using: &random)
      default: break
      }
      if Self.read(bytes) == nil { refused += 1 }
      Self.expectSame(bytes, "\(bytes)")
    }
    #expect(refused > 0 && refused < 400)
  }

  private static func field(_ random: inout SeededGenerator) -> [UInt8] {
    let some = { (count: Int, random: inout SeededGenerator) in
      (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    let length = Int.random(in: 0..<200, using: &random)
    let varint: [UInt8] = length < 128 ? [UInt8(length)] : [UInt8(length & 127) | 128, UInt8(length >> 7)]
    switch Int.random(in: 0..<9, using: &random) {
    case 0...2: return [0x3a] + varint + some(length, &random)
    case 3: return [0x0a, 0x03] + [UInt8]("abc".utf8)
    case 4: return [0x2a, 0x05, 0x0a, 0x01, 0x78, 0x12, 0x00]
    // An input's fields, merged from wherever they are.
    case 5:
      return (try? Message.with { $0.parameters["p"] = .with { $0.int64Param = 5 } }.serializedBytes()) ?? []
    case 6: return [UInt8.random(in: 0...63, using: &random) << 1 | 1] + some(8, &random)
    case 7: return [0x7b] + field(&random) + [0x7c]
    default:
      let wire = UInt8.random(in: 0...7, using: &random)
      return [UInt8.random(in: 0...15, using: &random) << 3 | wire]
        + some(Int.random(in: 0...9, using: &random), &random)
    }
  }

  @Test(arguments: [[], [0], [127], [128], [1, 0, 16_384], [2_097_152, 3]] as [[Int]])
  func answersAreEncodedAsProtobufDoes(_ sizes: [Int]) throws {
    var response = InferenceResponse()
    response.message.modelName = "m"
    response.message.parameters["p"] = .with { $0.boolParam = true }
    response.message.outputs = sizes.map { size in .with { $0.shape = [Int64(size)] } }
    response.rawContents = sizes.map { size in (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) } }
    var frame = try response.framed()
    let expected: [UInt8] = try response.whole.serializedBytes()
    #expect(frame.readInteger(as: UInt8.self) == 0)
    #expect(frame.readInteger(as: UInt32.self) == UInt32(expected.count))
    #expect(Array(frame.readableBytesView) == expected)
    #expect(response.whole.rawOutputContents.map(\.count) == sizes)
  }
}
