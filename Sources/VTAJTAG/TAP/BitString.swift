/// Bits in the order in which they cross a wire: bit 0 of byte 0 is the first.
package struct BitString: Equatable, Sendable {
  /// Bits past ``count`` are zero.
  package private(set) var bytes: [UInt8]
  package private(set) var count: Int

  package init() {
    bytes = []
    count = 0
  }

  /// The low bits of a number, lowest first.
  package init(_ value: UInt64, count: Int) {
    self.init()
    append(value, count: count)
  }

  package init(repeating bit: Bool, count: Int) {
    bytes = [UInt8](repeating: bit ? 0xFF : 0, count: (count + 7) / 8)
    self.count = count
    trim()
  }

  package init(bytes: [UInt8], count: Int) {
    precondition(count <= 8 * bytes.count)
    self.bytes = Array(bytes.prefix((count + 7) / 8))
    self.count = count
    trim()
  }

  private mutating func trim() {
    if count % 8 != 0 { bytes[bytes.count - 1] &= 0xFF >> (8 - count % 8) }
  }

  package subscript(index: Int) -> Bool { bytes[index / 8] >> (index % 8) & 1 == 1 }

  package mutating func append(_ bit: Bool) {
    if count % 8 == 0 { bytes.append(0) }
    if bit { bytes[count / 8] |= 1 << (count % 8) }
    count += 1
  }

  package mutating func append(_ value: UInt64, count: Int) {
    for index in 0..<count { append(value >> index & 1 == 1) }
  }

  package mutating func append(_ other: BitString) {
    for index in 0..<other.count { append(other[index]) }
  }

  package subscript(range: Range<Int>) -> BitString {
    var bits = BitString()
    for index in range { bits.append(self[index]) }
    return bits
  }

  /// The bits as a number, first bit lowest.
  ///
  /// - Parameter range: at most 64 bits.
  package func value(_ range: Range<Int>) -> UInt64 {
    range.reversed().reduce(0) { $0 << 1 | (self[$1] ? 1 : 0) }
  }
}
