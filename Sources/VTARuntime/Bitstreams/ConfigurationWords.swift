/// What can be seen of a Xilinx bitstream's words: their order, and the device that they are for. Packets are as in the
/// configuration guides of 7 series and UltraScale, alike in all that is read here.
struct ConfigurationWords {
  let areSwapped: Bool
  let idcode: UInt32?

  private static let sync: UInt32 = 0xaa99_5566
  /// The sync word stands behind some padding, the IDCODE some packets later.
  private static let prologueWords = 1024
  private static let idcodeRegister: UInt32 = 12

  /// - Returns: `nil` if there is no sync word near the start.
  init?(_ bytes: ArraySlice<UInt8>) {
    func word(_ index: Int) -> UInt32? {
      let start = bytes.startIndex + 4 * index
      guard 4 * index <= bytes.count - 4 else { return nil }
      return bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
    for index in 0..<Self.prologueWords {
      guard let found = word(index) else { return nil }
      guard found == Self.sync || found.byteSwapped == Self.sync else { continue }
      let swapped = found != Self.sync
      areSwapped = swapped
      idcode = Self.idcode(from: index + 1) { word($0).map { swapped ? $0.byteSwapped : $0 } }
      return
    }
    return nil
  }

  private static func idcode(from start: Int, _ word: (Int) -> UInt32?) -> UInt32? {
    var index = start
    while index < start + prologueWords, let header = word(index) {
      index += 1
      // Type 1: 001, operation (2 bits), register (14), reserved (2), words that follow (11). Writes are operation 2.
      guard header >> 29 == 1 else { return nil }
      let count = Int(header & 0x7ff)
      guard header >> 27 & 3 == 2 else { continue }
      if header >> 13 & 0x3fff == idcodeRegister { return count == 1 ? word(index) : nil }
      index += count
    }
    return nil
  }
}
