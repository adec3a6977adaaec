/// NumPy's `.npy` files, format versions 1 to 3: little-endian, C order.
package enum NPY {
  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  /// One row per element type: NumPy's type string and ours.
  private static let descriptors: [(text: String, type: DataType)] = [
    ("|b1", .bool), ("|i1", .int8), ("|u1", .uint8), ("<i2", .int16), ("<u2", .uint16), ("<i4", .int32),
    ("<u4", .uint32), ("<i8", .int64), ("<u8", .uint64), ("<f4", .fp32), ("<f8", .fp64),
  ]

  package static func encode(_ tensor: Tensor) -> [UInt8] {
    let descriptor = descriptors.first { $0.type == tensor.dataType }?.text ?? ""
    let extents = tensor.shape.map { "\($0)," }.joined(separator: " ")
    // A tuple of several extents has no comma behind the last.
    let shape = tensor.shape.count > 1 ? String(extents.dropLast()) : extents
    var header = "{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(shape)), }"
    // Data starts at a multiple of 64, after 10 bytes of preamble and a line end.
    header += String(repeating: " ", count: 63 - (header.utf8.count + 10) % 64) + "\n"
    let count = header.utf8.count
    return magic + [1, 0, UInt8(count & 0xFF), UInt8(count >> 8)] + Array(header.utf8) + tensor.bytes
  }

  /// - Throws: ``NPYError`` if the bytes are no `.npy` file of a known type, or end early.
  package static func decode(_ bytes: [UInt8]) throws(NPYError) -> Tensor {
    guard bytes.count >= 12, bytes.starts(with: magic) else { throw .notAnArray }
    guard (1...3).contains(bytes[6]) else { throw .version(Int(bytes[6])) }
    let lengthBytes = bytes[6] == 1 ? 2 : 4
    let length = bytes[8..<8 + lengthBytes].reversed().reduce(0) { $0 << 8 | Int($1) }
    let start = 8 + lengthBytes + length
    guard length < 1 << 20, start <= bytes.count else { throw .truncated }
    let header = String(decoding: bytes[8 + lengthBytes..<start], as: UTF8.self)
    guard let descriptor = quoted(after: "'descr':", in: header), let shape = shape(header) else {
      throw .header
    }
    guard let type = descriptors.first(where: { $0.text == descriptor })?.type else {
      throw .elementType(descriptor, known: descriptors.map(\.text))
    }
    let isColumnMajor = value(after: "'fortran_order':", in: header)?.hasPrefix("True") ?? false
    if isColumnMajor && shape.filter({ $0 != 1 }).count > 1 { throw .columnMajor }
    guard let count = Tensor.byteCount(of: shape, type), count == bytes.count - start else {
      throw .size(shape: shape, type: type, found: bytes.count - start)
    }
    return Tensor(dataType: type, shape: shape, bytes: Array(bytes[start...]))
  }

  private static func value(after key: String, in header: String) -> Substring? {
    guard let position = header.firstRange(of: key) else { return nil }
    return header[position.upperBound...].drop { $0 == " " }
  }

  private static func quoted(after key: String, in header: String) -> String? {
    guard let value = value(after: key, in: header), value.first == "'" else { return nil }
    return String(value.dropFirst().prefix { $0 != "'" })
  }

  private static func shape(_ header: String) -> [Int]? {
    guard let value = value(after: "'shape':", in: header), value.first == "(" else { return nil }
    let extents = value.dropFirst().prefix { $0 != ")" }.split(separator: ",")
      .map { $0.filter { $0 != " " && $0 != "L" } }.filter { !$0.isEmpty }
    let numbers = extents.compactMap { Int($0) }
    return numbers.count == extents.count ? numbers : nil
  }
}

package enum NPYError: Error, Equatable, CustomStringConvertible {
  case notAnArray
  case version(Int)
  case truncated
  case header
  case elementType(String, known: [String])
  case columnMajor
  case size(shape: [Int], type: DataType, found: Int)

  package var description: String {
    switch self {
    case .notAnArray: "is no .npy file: NumPy's magic bytes are missing; write it with numpy.save"
    case .version(let version): "is an .npy file of version \(version); versions 1 to 3 are known"
    case .truncated: "is a damaged .npy file: it ends inside its header"
    case .header: "is a damaged .npy file: its header has no descr or shape"
    case .elementType(let found, let known):
      "holds elements of type \(found); known: \(known.joined(separator: ", ")); convert it with astype"
    case .columnMajor: "is in Fortran order; write it with numpy.ascontiguousarray"
    case .size(let shape, let type, let found):
      "has \(found) bytes of data, which is not what shape \(shape) of \(type.rawValue) takes"
    }
  }
}
