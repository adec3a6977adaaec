internal import SwiftProtobuf

/// A tensor whose value the model file gives, decoded.
struct ConstantTensor: Sendable {
  enum Elements: Sendable {
    case floats([Float])
    case integers([Int64])
  }
  var name: String
  var shape: [Int]
  var elements: Elements
  /// Number of the element type in the file.
  var type = TensorElementType.float
  /// Of a dequantized constant: what one integer stands for, one value or one per entry of the axis.
  var scales: (values: [Float], axis: Int)?

  var floats: [Float]? {
    guard case .floats(let values) = elements else { return nil }
    return values
  }

  var integers: [Int64]? {
    guard case .integers(let values) = elements else { return nil }
    return values
  }
}

/// ONNX's element types; those with a reader can be constants.
struct TensorElementType: Sendable {
  let name: String
  let bits: Int
  let read: (@Sendable (TensorPayload) -> ConstantTensor.Elements)?

  static let float = 1

  /// By their number in `TensorProto.DataType`.
  static let all: [Int: TensorElementType] = [
    1: .init(name: "FLOAT", bits: 32) { .floats($0.values(Float.self) ?? $0.proto.floatData) },
    2: .init(name: "UINT8", bits: 8) {
      .integers($0.values(UInt8.self)?.map { Int64($0) } ?? $0.proto.int32Data.map { Int64($0) })
    },
    3: .init(name: "INT8", bits: 8) {
      .integers($0.values(Int8.self)?.map { Int64($0) } ?? $0.proto.int32Data.map { Int64($0) })
    },
    4: .init(name: "UINT16", bits: 16, read: nil),
    5: .init(name: "INT16", bits: 16, read: nil),
    6: .init(name: "INT32", bits: 32) {
      .integers(($0.values(Int32.self) ?? $0.proto.int32Data).map { Int64($0) })
    },
    7: .init(name: "INT64", bits: 64) { .integers($0.values(Int64.self) ?? $0.proto.int64Data) },
    8: .init(name: "STRING", bits: 0, read: nil),
    9: .init(name: "BOOL", bits: 8) {
      .integers($0.values(UInt8.self)?.map { Int64($0) } ?? $0.proto.int32Data.map { Int64($0) })
    },
    10: .init(name: "FLOAT16", bits: 16, read: nil),
    11: .init(name: "DOUBLE", bits: 64) {
      .floats(($0.values(Double.self) ?? $0.proto.doubleData).map { Float($0) })
    },
    12: .init(name: "UINT32", bits: 32, read: nil),
    13: .init(name: "UINT64", bits: 64, read: nil),
    16: .init(name: "BFLOAT16", bits: 16, read: nil),
  ]

  static func name(_ number: Int32) -> String { all[Int(number)]?.name ?? "number \(number)" }
}

/// Where a tensor's elements are: raw little-endian bytes, or a typed field of the message.
struct TensorPayload {
  let proto: ONNXTensorProto
  /// Of the raw field or an external file; `nil` if the typed field counts.
  let bytes: [UInt8]?

  /// The raw bytes as elements; their count was checked to be a multiple of the element's size.
  func values<Element: BitwiseCopyable>(_: Element.Type) -> [Element]? {
    guard let bytes else { return nil }
    let size = MemoryLayout<Element>.size
    return bytes.withUnsafeBytes { raw in
      (0..<bytes.count / size).map { raw.loadUnaligned(fromByteOffset: $0 * size, as: Element.self) }
    }
  }
}

extension ONNXTensorProto {
  /// - Parameter subject: what to call the tensor in an error.
  /// - Throws: if what the tensor declares is not what the file holds. Nothing is allocated before that is known.
  func checkedShape(_ subject: String, external: ExternalData) throws(CompileError) -> [Int] {
    guard let type = TensorElementType.all[Int(dataType)] else {
      throw CompileError(subject, "element type \(dataType) does not exist in ONNX")
    }
    guard dims.count <= ImportLimits.rank, dims.allSatisfy({ $0 >= 0 }) else {
      throw CompileError(
        subject, "dimensions \(dims.prefix(9)) must be at most \(ImportLimits.rank), none negative")
    }
    var count: Int64 = 1
    for extent in dims {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, product <= Int64.max / 64 else {
        throw CompileError(subject, "\(dims) elements of \(type.name) are more than can exist")
      }
      count = product
    }
    let shape = dims.map { Int(clamping: $0) }
    guard type.bits > 0 else { return shape }
    guard let byteCount = Int(exactly: count * Int64(type.bits) / 8) else {
      throw CompileError(subject, "\(dims) elements of \(type.name) are more than this machine can address")
    }
    if dataLocation == .external {
      try external.check(try externalRange(subject, byteCount: byteCount), subject)
    } else {
      let held = rawData.isEmpty ? typedElementCount * type.bits / 8 : rawData.count
      guard held == byteCount else {
        throw CompileError(
          subject,
          "\(dims.map(String.init).joined(separator: "×")) elements of \(type.name) are \(byteCount) bytes, "
            + "but the file holds \(held)", remedy: "the file is damaged; export the model again")
      }
    }
    return shape
  }

  /// The elements, after ``checkedShape(_:external:)``.
  func decoded(_ subject: String, external: ExternalData) throws(CompileError) -> ConstantTensor {
    let shape = try checkedShape(subject, external: external)
    guard let type = TensorElementType.all[Int(dataType)], let read = type.read else {
      throw CompileError(
        subject, "constants of element type \(TensorElementType.name(dataType)) are not supported",
        remedy: "export the model in float32")
    }
    var bytes: [UInt8]?
    if dataLocation == .external {
      let byteCount = shape.reduce(1, *) * type.bits / 8
      bytes = try external.read(try externalRange(subject, byteCount: byteCount), subject)
    } else if !rawData.isEmpty {
      bytes = [UInt8](rawData)
    }
    return ConstantTensor(
      name: name, shape: shape, elements: read(TensorPayload(proto: self, bytes: bytes)), type: Int(dataType))
  }

  private var typedElementCount: Int {
    switch Int(dataType) {
    case 1: floatData.count
    case 2...6, 9, 10, 16: int32Data.count
    case 7: int64Data.count
    case 11: doubleData.count
    default: 0
    }
  }

  private func externalRange(_ subject: String, byteCount: Int) throws(CompileError) -> ExternalData.Range {
    var location: String?
    var offset = 0
    for entry in externalData {
      switch entry.key {
      case "location": location = entry.value
      case "offset":
        guard let value = Int(entry.value), value >= 0 else {
          throw CompileError(subject, "offset \(quoted(entry.value)) of its external data is no byte count")
        }
        offset = value
      case "length":
        guard Int(entry.value) == byteCount else {
          throw CompileError(
            subject,
            "its external data has length \(quoted(entry.value)), but its shape needs \(byteCount) bytes")
        }
      default: break  // checksums and keys of other tools
      }
    }
    guard let location else { throw CompileError(subject, "its external data has no location") }
    return ExternalData.Range(location: location, offset: offset, byteCount: byteCount)
  }
}
