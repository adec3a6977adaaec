/// Intel's HEX format: pieces of memory as text.
package struct IntelHex: Equatable, Sendable {
  package struct Piece: Equatable, Sendable {
    package var address: UInt16
    package var bytes: [UInt8]

    package init(address: UInt16, bytes: [UInt8]) {
      self.address = address
      self.bytes = bytes
    }
  }

  package private(set) var pieces: [Piece] = []

  /// - Throws: ``JTAGError/badFirmware(reason:)`` naming the line.
  package init(_ text: [UInt8]) throws(JTAGError) {
    var ended = false
    for (index, line) in text.split(whereSeparator: { $0 == 10 || $0 == 13 }).enumerated() {
      if ended { throw .badFirmware(reason: "line \(index + 1) follows the record that ends the file") }
      guard let record = Self.record(line) else {
        throw .badFirmware(
          reason: "line \(index + 1) is no record of an Intel HEX file, or its checksum is wrong")
      }
      switch record.kind {
      case 0x00: pieces.append(Piece(address: record.address, bytes: record.bytes))
      case 0x01: ended = true
      // The processor has 16 address lines: an upper half other than zero is for something else.
      case 0x02 where record.bytes == [0, 0], 0x04 where record.bytes == [0, 0]: break
      default:
        throw .badFirmware(
          reason: "line \(index + 1) has a record of type \(record.kind), for a larger memory")
      }
    }
    guard ended else {
      throw .badFirmware(reason: "the record that ends the file is missing, so it is cut short")
    }
    guard !pieces.isEmpty else { throw .badFirmware(reason: "it holds no data") }
  }

  private static func record(_ line: Substring8) -> (kind: UInt8, address: UInt16, bytes: [UInt8])? {
    guard line.first == UInt8(ascii: ":"), line.count % 2 == 1 else { return nil }
    var bytes: [UInt8] = []
    var rest = line.dropFirst()
    while let high = rest.popFirst(), let low = rest.popFirst() {
      guard let upper = digit(high), let lower = digit(low) else { return nil }
      bytes.append(upper << 4 | lower)
    }
    guard bytes.count >= 5, bytes.count == Int(bytes[0]) + 5, bytes.reduce(0, &+) == 0 else { return nil }
    return (bytes[3], UInt16(bytes[1]) << 8 | UInt16(bytes[2]), Array(bytes[4..<bytes.count - 1]))
  }

  private typealias Substring8 = ArraySlice<UInt8>

  private static func digit(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
