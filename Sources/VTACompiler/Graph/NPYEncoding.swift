internal import VTAModule

/// NumPy's `.npy` files, version 1.0.
enum NPYEncoding {
  static func bytes(of tensor: Tensor) -> [UInt8] {
    let extents = tensor.shape.map(String.init).joined(separator: ", ")
    let shape = "(\(extents)\(tensor.shape.count == 1 ? "," : ""))"
    var header = "{'descr': '\(descriptor(tensor.dataType))', 'fortran_order': False, 'shape': \(shape), }"
    // Magic, version and length are 10 bytes; elements start on a multiple of 64.
    let length = (10 + header.utf8.count + 1 + 63) / 64 * 64 - 10
    header += String(repeating: " ", count: length - header.utf8.count - 1) + "\n"
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)]
      + Array(header.utf8) + tensor.bytes
  }

  private static func descriptor(_ type: DataType) -> String {
    switch type {
    case .bool: "|b1"
    case .int8: "|i1"
    case .uint8: "|u1"
    case .int16: "<i2"
    case .uint16: "<u2"
    case .int32: "<i4"
    case .uint32: "<u4"
    case .int64: "<i8"
    case .uint64: "<u8"
    case .fp32: "<f4"
    case .fp64: "<f8"
    }
  }
}
