internal import Foundation
internal import NIOCore
internal import SwiftProtobuf
internal import Synchronization

/// A request to run a model. Its raw contents, most of its bytes, are where they were received.
struct InferenceRequest: Sendable {
  /// Without raw contents.
  let message: Inference_ModelInferRequest
  /// Of all inputs together.
  let rawByteCount: Int
  /// For whoever makes tensors of them: a request that waits for a device would keep them beside its tensors otherwise.
  let rawContents: Handover<[RawContents]>

  /// - Parameter message: Without raw contents.
  init(_ message: Inference_ModelInferRequest, rawContents: [RawContents]) {
    self.message = message
    rawByteCount = rawContents.reduce(0) { $0 + $1.count }
    self.rawContents = Handover(rawContents)
  }

  init(_ message: Inference_ModelInferRequest) {
    var message = message
    let raw = message.rawInputContents
    message.rawInputContents = []
    self.init(message, rawContents: raw.map(RawContents.data))
  }

  /// - Throws: ``ServiceError`` if it is no encoded `ModelInferRequest`.
  init(encoded bytes: ByteBuffer) throws(ServiceError) {
    do {
      if let parts = EncodedRequestParts(bytes) {
        self.init(
          try Inference_ModelInferRequest(serializedBytes: MessageBytes(buffer: parts.rest)),
          rawContents: parts.rawContents.map { .part(of: bytes, at: $0) })
      } else {
        self.init(try Inference_ModelInferRequest(serializedBytes: MessageBytes(buffer: bytes)))
      }
    } catch {
      throw ServiceError(
        .invalidArgument,
        "the request is no \(Inference_ModelInferRequest.protoMessageName) in protobuf's encoding")
    }
  }
}

/// An encoded `ModelInferRequest`, its raw contents apart from everything else. Decodes nothing else.
struct EncodedRequestParts {
  /// Where the field `raw_input_contents` is, as often as it is there, from the message's first byte.
  private(set) var rawContents: [Range<Int>] = []
  /// All other fields.
  private(set) var rest: ByteBuffer

  private static let rawContentsField: UInt8 = 7

  /// `nil`: the encoding is wrong, or stranger than any client's: groups, fields that no version of the protocol has.
  /// SwiftProtobuf knows what to make of that.
  init?(_ message: ByteBuffer) {
    var fields = message
    var others: [ByteBuffer] = []
    // Fields between raw contents lie together.
    var firstOther = message.readerIndex
    func closeOthers(at end: Int) {
      if end > firstOther, let slice = message.getSlice(at: firstOther, length: end - firstOther) {
        others.append(slice)
      }
    }
    while let tag = fields.readInteger(as: UInt8.self) {
      // A tag of several bytes is another field's, or not the shortest that it could be.
      guard tag & 0x80 == 0, tag >> 3 != 0 else { return nil }
      switch tag & 7 {
      case 0: guard fields.readShortVarint() != nil else { return nil }
      case 1: guard fields.skip(8) else { return nil }
      case 5: guard fields.skip(4) else { return nil }
      case 2:
        let start = fields.readerIndex - 1
        guard let length = fields.readShortVarint(), fields.skip(length) else { return nil }
        if tag >> 3 == Self.rawContentsField {
          closeOthers(at: start)
          firstOther = fields.readerIndex
          let end = firstOther - message.readerIndex
          rawContents.append((end - length)..<end)
        }
      default: return nil
      }
    }
    closeOthers(at: fields.readerIndex)
    rest = others.first ?? ByteBuffer()
    for var other in others.dropFirst() { rest.writeBuffer(&other) }
  }
}

extension ByteBuffer {
  /// A number of protobuf's in at most five bytes, which hold any length; `nil` if it takes more or is cut off.
  fileprivate mutating func readShortVarint() -> Int? {
    var value = 0
    for shift in stride(from: 0, to: 35, by: 7) {
      guard let byte = readInteger(as: UInt8.self) else { return nil }
      value |= Int(byte & 0x7f) << shift
      if byte & 0x80 == 0 { return value }
    }
    return nil
  }

  fileprivate mutating func skip(_ count: Int) -> Bool {
    guard count <= readableBytes else { return false }
    moveReaderIndex(forwardBy: count)
    return true
  }
}

/// The elements of an input as bytes, where they were received.
enum RawContents: Sendable {
  case data(Data)
  // No slice: NIO copies those that begin behind 16 MiB.
  case part(of: ByteBuffer, at: Range<Int>)

  var count: Int {
    switch self {
    case .data(let data): data.count
    case .part(_, let range): range.count
    }
  }

  var bytes: [UInt8] {
    switch self {
    case .data(let data): [UInt8](data)
    case .part(let message, let range): message.withUnsafeReadableBytes { [UInt8]($0[range]) }
    }
  }
}

/// A value that is given away once. Those who keep a reference to this don't keep the value in memory.
final class Handover<Value: Sendable>: Sendable {
  private let value: Mutex<Value?>

  init(_ value: Value) { self.value = Mutex(value) }

  /// - Returns: `nil` if it was taken before.
  func take() -> Value? { value.withLock { $0.take() } }
}
