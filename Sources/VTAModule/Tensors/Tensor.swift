/// Element types of tensors on the host, by the names of the Open Inference Protocol.
package enum DataType: String, Hashable, Sendable, CaseIterable {
  case bool = "BOOL"
  case int8 = "INT8"
  case int16 = "INT16"
  case int32 = "INT32"
  case int64 = "INT64"
  case uint8 = "UINT8"
  case uint16 = "UINT16"
  case uint32 = "UINT32"
  case uint64 = "UINT64"
  case fp32 = "FP32"
  case fp64 = "FP64"

  package var byteCount: Int {
    switch self {
    case .bool, .int8, .uint8: 1
    case .int16, .uint16: 2
    case .int32, .uint32, .fp32: 4
    case .int64, .uint64, .fp64: 8
    }
  }
}

/// A dense, row-major, little-endian tensor in host memory.
package struct Tensor: Hashable, Sendable {
  package let dataType: DataType
  /// Extents, outermost first; empty for a scalar.
  package let shape: [Int]
  /// `elementCount × dataType.byteCount` bytes.
  package let bytes: [UInt8]

  package var elementCount: Int { shape.reduce(1, *) }

  /// - Precondition: the byte count matches shape and type; callers that read outside input check it first with
  ///   ``byteCount(of:_:)``.
  package init(dataType: DataType, shape: [Int], bytes: [UInt8]) {
    precondition(Tensor.byteCount(of: shape, dataType) == bytes.count, "bytes match the shape")
    self.dataType = dataType
    self.shape = shape
    self.bytes = bytes
  }

  /// Bytes that a tensor takes; `nil` if an extent is negative or the product overflows.
  package static func byteCount(of shape: [Int], _ dataType: DataType) -> Int? {
    var count = dataType.byteCount
    for extent in shape {
      guard extent >= 0 else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      count = product
    }
    return count
  }

  package init(_ values: [Float], shape: [Int]) {
    self.init(dataType: .fp32, shape: shape, bytes: values.withUnsafeBytes(Array.init))
  }

  package init(_ values: [Int8], shape: [Int]) {
    self.init(dataType: .int8, shape: shape, bytes: values.withUnsafeBytes(Array.init))
  }

  package init(_ values: [Int32], shape: [Int]) {
    self.init(dataType: .int32, shape: shape, bytes: values.withUnsafeBytes(Array.init))
  }

  /// The elements; the caller names the Swift type that `dataType` stands for.
  package func elements<Element: BitwiseCopyable>(as type: Element.Type) -> [Element] {
    precondition(MemoryLayout<Element>.size == dataType.byteCount, "element size matches \(dataType)")
    return [Element](unsafeUninitializedCapacity: elementCount) { elements, count in
      bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(elements).copyMemory(from: $0) }
      count = elementCount
    }
  }
}
