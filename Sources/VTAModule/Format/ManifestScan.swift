/// Counts a manifest's entries before it is decoded: an empty entry takes two bytes in the file and hundreds in memory.
struct ManifestScan {
  /// Entries of one list.
  static let entriesMax = 1 << 16
  static let byteCountMax = 1 << 24
  /// Field of the only message with a list of messages inside, `Manifest.target`.
  private static let targetField: UInt64 = 3
  private static let targetEntriesMax = 64

  private let bytes: ArraySlice<UInt8>
  private var position: Int

  static func check(_ bytes: ArraySlice<UInt8>) throws(ModuleError) {
    guard bytes.count <= byteCountMax else {
      throw ModuleError("manifest", "\(bytes.count) bytes are more than the \(byteCountMax) that are allowed")
    }
    var targetEntries = 0
    var scan = ManifestScan(bytes)
    try scan.countFields(maximum: entriesMax) { field, contents throws(ModuleError) in
      guard field == targetField else { return }
      var target = ManifestScan(contents)
      try target.countFields(maximum: targetEntriesMax) { _, _ throws(ModuleError) in targetEntries += 1 }
      guard targetEntries <= targetEntriesMax else { throw tooMany }
    }
  }

  private init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  private mutating func countFields(
    maximum: Int, _ body: (UInt64, ArraySlice<UInt8>) throws(ModuleError) -> Void
  ) throws(ModuleError) {
    var counts: [UInt64: Int] = [:]
    while position < bytes.endIndex {
      let key = try varint()
      let contents = try skip(wireType: key & 7)
      // Field numbers have 29 bits; few fields are known, so few counts are kept.
      let field = min(key >> 3, 64)
      counts[field, default: 0] += 1
      guard counts[field, default: 0] <= maximum else { throw Self.tooMany }
      try body(field, contents)
    }
  }

  private mutating func skip(wireType: UInt64) throws(ModuleError) -> ArraySlice<UInt8> {
    let count: UInt64
    switch wireType {
    case 0:
      _ = try varint()
      count = 0
    case 1: count = 8
    case 2: count = try varint()
    case 5: count = 4
    default: throw Self.damaged
    }
    guard count <= UInt64(bytes.endIndex - position) else { throw Self.damaged }
    defer { position += Int(count) }
    return bytes[position..<(position + Int(count))]
  }

  private mutating func varint() throws(ModuleError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard position < bytes.endIndex else { throw Self.damaged }
      let byte = bytes[position]
      position += 1
      value |= UInt64(byte & 0x7f) << shift
      if byte < 0x80 { return value }
    }
    throw Self.damaged
  }

  private static let damaged = ModuleError("manifest", "it is no protobuf message")
  private static let tooMany = ModuleError("manifest", "it has more entries than are allowed")
}
