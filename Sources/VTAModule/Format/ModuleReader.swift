private import Crypto

/// A module and the file that it came from.
package struct ModuleFile: Hashable, Sendable {
  package let module: Module
  /// SHA-256 of everything behind the header, 64 lower-case hexadecimal digits: the identity of the module.
  package let digest: String
  package let byteCount: Int

  package init(module: Module, digest: String, byteCount: Int) {
    self.module = module
    self.digest = digest
    self.byteCount = byteCount
  }
}

/// Reads `.vtab` files from anyone. Nothing in the bytes is believed before it was checked.
package enum ModuleReader {
  /// Larger files are no modules; what callers give to ``File/read(_:limit:)``.
  package static let fileBytesMax = 1 << 30

  /// - Throws: ``ModuleError`` with the place of the first thing that is wrong.
  package static func read(_ bytes: [UInt8]) throws(ModuleError) -> ModuleFile {
    let sectionCount = try header(bytes)
    let digest = try checkedDigest(bytes)
    let sections = try Sections(bytes, count: sectionCount)
    let module = try ManifestDecoder(sections).module()
    try ModuleCheck.check(module)
    return ModuleFile(module: module, digest: digest, byteCount: bytes.count)
  }

  /// - Returns: The number of sections.
  static func header(_ bytes: [UInt8]) throws(ModuleError) -> UInt32 {
    typealias Header = FileLayout.Header
    guard bytes.starts(with: FileLayout.magic) else {
      throw ModuleError("header", "the file is no .vtab module: its first bytes are others")
    }
    guard bytes.count >= Header.byteLength else {
      throw ModuleError("header", "the file ends inside the header, after \(bytes.count) bytes")
    }
    let version = bytes.littleEndian(at: Header.version, as: UInt32.self)
    guard version == FileLayout.version else {
      throw ModuleError(
        "header",
        "the format has version \(version), but only \(FileLayout.version) is known; use a newer vtactl")
    }
    let byteCount = bytes.littleEndian(at: Header.byteCount, as: UInt64.self)
    guard byteCount == UInt64(bytes.count) else {
      throw ModuleError(
        "header", "the file has \(bytes.count) bytes, but \(byteCount) were written; copy or compile it again"
      )
    }
    guard bytes.littleEndian(at: Header.reserved, as: UInt64.self) == 0 else {
      throw ModuleError("header", "reserved bytes are not zero")
    }
    return bytes.littleEndian(at: Header.sectionCount, as: UInt32.self)
  }

  private static func checkedDigest(_ bytes: [UInt8]) throws(ModuleError) -> String {
    typealias Header = FileLayout.Header
    var hash = SHA256()
    bytes.withUnsafeBytes { hash.update(bufferPointer: .init(rebasing: $0[Header.byteLength...])) }
    let digest = Array(hash.finalize())
    guard digest == Array(bytes[Header.digest..<Header.byteLength]) else {
      throw ModuleError("digest", "the contents differ from what was written; copy or compile the file again")
    }
    return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
  }
}

/// The sections of a file by kind.
struct Sections {
  private var contents: [SectionKind: ArraySlice<UInt8>] = [:]

  /// - Parameter count: entries of the section table.
  init(_ bytes: [UInt8], count: UInt32) throws(ModuleError) {
    for (index, entry) in try Self.entries(bytes, count: count).enumerated() {
      let range = Int(entry.offset)..<Int(entry.offset + entry.length)
      try add(entry, bytes[range], Self.place(index))
    }
  }

  private static func place(_ index: Int) -> String { "section table entry \(index)" }

  /// Every entry of the table; each lies in the file, behind the one before.
  static func entries(_ bytes: [UInt8], count: UInt32) throws(ModuleError) -> [SectionEntry] {
    guard count <= FileLayout.sectionsMax else {
      throw ModuleError(
        "header", "\(count) sections are more than the \(FileLayout.sectionsMax) that are allowed")
    }
    let tableEnd = FileLayout.Header.byteLength + Int(count) * FileLayout.Entry.byteLength
    guard tableEnd <= bytes.count else { throw ModuleError("section table", "the file ends inside it") }
    var end = UInt64(tableEnd)
    var entries: [SectionEntry] = []
    for index in 0..<Int(count) {
      let place = place(index)
      let entry = try self.entry(bytes, index, place)
      guard entry.offset % FileLayout.sectionAlignment == 0, entry.offset >= end else {
        throw ModuleError(
          place, "the section starts at \(entry.offset), not on a page of its own behind the one before")
      }
      guard entry.offset <= UInt64(bytes.count), entry.length <= UInt64(bytes.count) - entry.offset else {
        throw ModuleError(place, "the section reaches beyond the end of the file")
      }
      end = entry.offset + entry.length
      entries.append(entry)
    }
    return entries
  }

  private static func entry(
    _ bytes: [UInt8], _ index: Int, _ place: String
  ) throws(ModuleError) -> SectionEntry {
    typealias Entry = FileLayout.Entry
    let base = FileLayout.Header.byteLength + index * Entry.byteLength
    let entry = SectionEntry(
      kind: Array(bytes[base..<(base + Entry.flags)]),
      flags: bytes.littleEndian(at: base + Entry.flags, as: UInt32.self),
      offset: bytes.littleEndian(at: base + Entry.offset, as: UInt64.self),
      length: bytes.littleEndian(at: base + Entry.length, as: UInt64.self))
    guard entry.flags & ~FileLayout.optionalFlag == 0,
      bytes.littleEndian(at: base + Entry.reserved, as: UInt64.self) == 0
    else { throw ModuleError(place, "reserved bits are not zero") }
    return entry
  }

  private mutating func add(
    _ entry: SectionEntry, _ bytes: ArraySlice<UInt8>, _ place: String
  ) throws(ModuleError) {
    guard let kind = SectionKind.allCases.first(where: { $0.code == entry.kind }) else {
      if entry.isOptional { return }
      let name = String(decoding: entry.kind.map { (0x20..<0x7f).contains($0) ? $0 : 0x3f }, as: UTF8.self)
      throw ModuleError(place, "the section \(name) is required, but its kind is unknown; use a newer vtactl")
    }
    guard contents.updateValue(bytes, forKey: kind) == nil else {
      throw ModuleError(place, "there is a section \(kind.rawValue) already")
    }
  }

  func bytes(_ kind: SectionKind) throws(ModuleError) -> ArraySlice<UInt8> {
    guard let bytes = contents[kind] else {
      throw ModuleError("section table", "the section \(kind.rawValue) is missing")
    }
    return bytes
  }

  /// A range of a section; its bounds are checked here.
  func bytes(
    _ kind: SectionKind, offset: UInt64, count: UInt64, place: String
  ) throws(ModuleError) -> [UInt8] {
    let section = try bytes(kind)
    guard offset <= UInt64(section.count), count <= UInt64(section.count) - offset else {
      throw ModuleError(
        place,
        "bytes \(offset) to \(offset) + \(count) lie outside the section \(kind.rawValue) of \(section.count) bytes"
      )
    }
    let start = section.startIndex + Int(offset)
    return Array(section[start..<(start + Int(count))])
  }
}
