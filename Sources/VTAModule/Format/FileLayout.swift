/// The fixed parts of a `.vtab` file: header, then section table, then sections. All numbers are little-endian.
/// Documentation/ModuleFormat.md is the description for others.
enum FileLayout {
  /// A byte that is no text, then line ends that a text-mode copy would change.
  static let magic: [UInt8] = [0x89, 0x56, 0x54, 0x41, 0x42, 0x0d, 0x0a, 0x1a]  // "\x89VTAB\r\n\x1a"
  static let version: UInt32 = 1
  static let sectionAlignment: UInt64 = 4096
  /// More sections are no module.
  static let sectionsMax: UInt32 = 64

  /// Offsets in the header.
  enum Header {
    static let magic = 0
    static let version = 8
    static let sectionCount = 12
    static let byteCount = 16
    static let reserved = 24
    static let digest = 32
    static let byteLength = 64
  }

  /// Offsets in an entry of the section table, which follows the header.
  enum Entry {
    static let kind = 0
    static let flags = 4
    static let offset = 8
    static let length = 16
    static let reserved = 24
    static let byteLength = 32
  }

  /// A reader that doesn't know the section's kind may skip it.
  static let optionalFlag: UInt32 = 1

  static func aligned(_ offset: UInt64) -> UInt64 {
    (offset + sectionAlignment - 1) / sectionAlignment * sectionAlignment
  }
}

/// The sections of version 1. All of them are required.
enum SectionKind: String, CaseIterable {
  case manifest = "MANI"
  case constants = "CNST"
  case instructions = "INST"
  case microOps = "UOPS"

  /// The four characters as they stand in the file.
  var code: [UInt8] { Array(rawValue.utf8) }
}

/// A section as it stands in a file, whatever its kind.
struct RawSection {
  let kind: [UInt8]
  let flags: UInt32
  let bytes: ArraySlice<UInt8>

  /// - Throws: ``ModuleError`` if the bytes are no module.
  static func all(in bytes: [UInt8]) throws(ModuleError) -> [RawSection] {
    let count = try ModuleReader.header(bytes)
    var sections: [RawSection] = []
    for entry in try Sections.entries(bytes, count: count) {
      let range = Int(entry.offset)..<Int(entry.offset + entry.length)
      sections.append(RawSection(kind: entry.kind, flags: entry.flags, bytes: bytes[range]))
    }
    return sections
  }
}

/// One entry of the section table.
struct SectionEntry {
  let kind: [UInt8]
  let flags: UInt32
  let offset: UInt64
  let length: UInt64

  var isOptional: Bool { flags & FileLayout.optionalFlag != 0 }

  func append(to bytes: inout [UInt8]) {
    bytes += kind
    bytes.append(littleEndian: flags)
    bytes.append(littleEndian: offset)
    bytes.append(littleEndian: length)
    bytes.append(littleEndian: UInt64(0))
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: some FixedWidthInteger) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }

  /// - Precondition: the range was checked.
  func littleEndian<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: Value.Type) -> Value
  {
    Value(littleEndian: withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) })
  }
}
