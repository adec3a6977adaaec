/// Writes a flattened device tree, version 17 (devicetree specification, chapter 5).
struct FlattenedTreeWriter {
  private enum Token {
    static let beginNode: UInt32 = 1
    static let endNode: UInt32 = 2
    static let property: UInt32 = 3
    static let end: UInt32 = 9
  }

  private static let magic: UInt32 = 0xd00d_feed
  private static let version: UInt32 = 17
  private static let lastCompatibleVersion: UInt32 = 16
  private static let headerBytes = 40
  /// One entry of zeros: no memory is reserved.
  private static let reservations = [UInt8](repeating: 0, count: 16)

  private var structure: [UInt8] = []
  private var strings: [UInt8] = []

  mutating func node(_ name: String, _ contents: (inout FlattenedTreeWriter) -> Void) {
    append(Token.beginNode)
    append(Array(name.utf8) + [0])
    contents(&self)
    append(Token.endNode)
  }

  mutating func property(_ name: String, text: String) { property(name, Array(text.utf8) + [0]) }

  mutating func property(_ name: String, words: [UInt32]) { property(name, words.flatMap(Self.bytes)) }

  private mutating func property(_ name: String, _ value: [UInt8]) {
    append(Token.property)
    append(UInt32(value.count))
    append(UInt32(strings.count))
    append(value)
    strings += Array(name.utf8) + [0]
  }

  var blob: [UInt8] {
    let structure = structure + Self.bytes(Token.end)
    let structureOffset = Self.headerBytes + Self.reservations.count
    let stringsOffset = structureOffset + structure.count
    let header: [UInt32] = [
      Self.magic, UInt32(stringsOffset + strings.count), UInt32(structureOffset), UInt32(stringsOffset),
      UInt32(Self.headerBytes), Self.version, Self.lastCompatibleVersion, 0, UInt32(strings.count),
      UInt32(structure.count),
    ]
    return header.flatMap(Self.bytes) + Self.reservations + structure + strings
  }

  private mutating func append(_ word: UInt32) { structure += Self.bytes(word) }

  /// Padded to whole words.
  private mutating func append(_ bytes: [UInt8]) {
    structure += bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
  }

  private static func bytes(_ word: UInt32) -> [UInt8] { withUnsafeBytes(of: word.bigEndian, Array.init) }
}
