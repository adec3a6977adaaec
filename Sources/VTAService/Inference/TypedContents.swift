internal import VTAModule

/// The elements of an `InferTensorContents` as little-endian bytes. Each datatype has one field; all others are empty.
struct TypedContents {
  let count: Int
  let bytes: [UInt8]

  /// - Throws: If elements are in another field than the datatype's, or don't fit the datatype.
  init(
    _ contents: Inference_InferTensorContents, of input: String, type: DataType
  ) throws(ServiceError) {
    let field = Self.field(of: type)
    let strays = Self.counts(contents).filter { $0.count != 0 && $0.field != field }
    if let stray = strays.first {
      throw ServiceError(
        .invalidArgument,
        "the input \(input) has elements in \(stray.field), but those of \(type.rawValue) belong in \(field)")
    }
    let encoded: (count: Int, bytes: [UInt8])? =
      switch type {
      case .bool: Self.exact(contents.boolContents.map { $0 ? 1 : 0 as UInt8 }, as: UInt8.self)
      case .int8: Self.exact(contents.intContents, as: Int8.self)
      case .int16: Self.exact(contents.intContents, as: Int16.self)
      case .int32: Self.exact(contents.intContents, as: Int32.self)
      case .int64: Self.exact(contents.int64Contents, as: Int64.self)
      case .uint8: Self.exact(contents.uintContents, as: UInt8.self)
      case .uint16: Self.exact(contents.uintContents, as: UInt16.self)
      case .uint32: Self.exact(contents.uintContents, as: UInt32.self)
      case .uint64: Self.exact(contents.uint64Contents, as: UInt64.self)
      case .fp32: Self.exact(contents.fp32Contents.map(\.bitPattern), as: UInt32.self)
      case .fp64: Self.exact(contents.fp64Contents.map(\.bitPattern), as: UInt64.self)
      }
    guard let encoded else {
      throw ServiceError(
        .invalidArgument, "the input \(input) has elements that \(type.rawValue) can't hold")
    }
    (count, bytes) = encoded
  }

  private static func field(of type: DataType) -> String {
    switch type {
    case .bool: "bool_contents"
    case .int8, .int16, .int32: "int_contents"
    case .int64: "int64_contents"
    case .uint8, .uint16, .uint32: "uint_contents"
    case .uint64: "uint64_contents"
    case .fp32: "fp32_contents"
    case .fp64: "fp64_contents"
    }
  }

  private static func counts(_ contents: Inference_InferTensorContents) -> [(field: String, count: Int)] {
    [
      ("bool_contents", contents.boolContents.count),
      ("int_contents", contents.intContents.count),
      ("int64_contents", contents.int64Contents.count),
      ("uint_contents", contents.uintContents.count),
      ("uint64_contents", contents.uint64Contents.count),
      ("fp32_contents", contents.fp32Contents.count),
      ("fp64_contents", contents.fp64Contents.count),
      ("bytes_contents", contents.bytesContents.count),
    ]
  }

  /// `nil` if a value is outside the range of `Element`.
  private static func exact<Element: FixedWidthInteger>(
    _ values: [some FixedWidthInteger], as type: Element.Type
  ) -> (count: Int, bytes: [UInt8])? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(values.count * MemoryLayout<Element>.size)
    for value in values {
      guard let element = Element(exactly: value) else { return nil }
      withUnsafeBytes(of: element.littleEndian) { bytes.append(contentsOf: $0) }
    }
    return (values.count, bytes)
  }
}
