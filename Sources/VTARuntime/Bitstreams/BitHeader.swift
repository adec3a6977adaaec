/// The header of a `.bit` file: records of a one-byte key and a counted value (reference/vta-hardware.md, section 8.2).
package struct BitHeader: Hashable, Sendable {
  /// `vta_wrapper;UserID=0XFFFFFFFF;Version=2018.3`
  package let design: String
  /// `7z020clg484`
  package let part: String
  package let date: String
  package let time: String
  /// Where the configuration data lies in the file.
  package let payload: Range<Int>

  private static let magic: [UInt8] = [0, 9, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0x0f, 0xf0, 0, 0, 1]

  /// - Returns: `nil` if the file doesn't start like a `.bit` file.
  /// - Throws: ``BitstreamError`` if it does, but ends early or doesn't go on like one.
  init?(fileStart bytes: [UInt8]) throws(BitstreamError) {
    guard bytes.starts(with: Self.magic) else { return nil }
    var position = Self.magic.count
    func number(byteCount: Int, _ what: String) throws(BitstreamError) -> Int {
      guard byteCount <= bytes.count - position else { throw .truncated(what: what, at: position) }
      defer { position += byteCount }
      return bytes[position..<position + byteCount].reduce(0) { $0 << 8 | Int($1) }
    }
    func text(_ key: Character) throws(BitstreamError) -> String {
      let start = position
      let found = try number(byteCount: 1, "the header")
      guard found == Int(key.asciiValue ?? 0) else {
        throw .badHeader(reason: "record \(key) is missing at byte \(start)")
      }
      let count = try number(byteCount: 2, "record \(key)")
      guard count <= bytes.count - position else { throw .truncated(what: "record \(key)", at: position) }
      defer { position += count }
      let value = bytes[position..<position + count].prefix { $0 != 0 }
      guard value.allSatisfy({ (0x20...0x7e).contains($0) }) else {
        throw .badHeader(reason: "record \(key) is no text")
      }
      return String(decoding: value, as: UTF8.self)
    }
    design = try text("a")
    part = try text("b")
    date = try text("c")
    time = try text("d")
    let start = position
    guard try number(byteCount: 1, "the header") == 0x65 else {
      throw .badHeader(reason: "record e is missing at byte \(start)")
    }
    // At most 2³² - 1, which Int does not hold on 32-bit machines.
    let high = try number(byteCount: 2, "record e")
    let low = try number(byteCount: 2, "record e")
    let rest = bytes.count - position
    guard high <= rest >> 16, high << 16 | low <= rest else {
      throw .truncated(what: "the configuration data", at: bytes.count)
    }
    let count = high << 16 | low
    guard count == rest else {
      throw .badHeader(reason: "\(rest - count) bytes follow the configuration data")
    }
    payload = position..<position + count
  }
}
