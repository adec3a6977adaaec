private import Crypto

/// A file that configures an FPGA: `.bit`, `.bin` or `.rbf`. What it is, its contents say, not its name.
package struct Bitstream: Sendable {
  package enum Format: String, Sendable, CaseIterable {
    /// Xilinx: a header that names the part, then big-endian words.
    case bit
    /// Xilinx: the words alone, big-endian as in a `.bit` file.
    case words
    /// Xilinx: the words alone, each byte-swapped, as the Linux FPGA manager takes them.
    case swappedWords = "bin"
    /// Intel, as it is.
    case rbf
  }

  /// Larger files are refused; the largest device of the known boards takes 26 MB.
  package static let byteCountMax = 64 << 20

  package let format: Format
  /// What the header of a `.bit` file says; `nil` for the others.
  package let header: BitHeader?
  /// The whole file.
  package let bytes: [UInt8]
  /// Where in ``bytes`` the configuration data lies; whole words, except for `.rbf`.
  package let payload: Range<Int>
  /// The device that the configuration data is for, by its JTAG IDCODE; `nil` if the data doesn't say.
  package let idcode: UInt32?
  /// Of the whole file, in hexadecimal.
  package let sha256: String

  /// - Throws: ``BitstreamError`` saying what is wrong with the file.
  package init(_ bytes: [UInt8]) throws(BitstreamError) {
    guard bytes.count <= Self.byteCountMax else { throw .tooLarge(byteCount: bytes.count) }
    let header = try BitHeader(fileStart: bytes)
    let payload = header?.payload ?? 0..<bytes.count
    if let words = ConfigurationWords(bytes[payload]) {
      guard payload.count % 4 == 0 else { throw .unevenPayload(byteCount: payload.count) }
      switch (header, words.areSwapped) {
      case (.some, false): format = .bit
      case (.some, true): throw .swappedInHeader
      case (nil, false): format = .words
      case (nil, true): format = .swappedWords
      }
      idcode = words.idcode
    } else {
      if header != nil { throw .noSyncWord }
      guard Self.startsLikeRBF(bytes) else { throw .unknownFormat }
      format = .rbf
      idcode = nil
    }
    self.header = header
    self.bytes = bytes
    self.payload = payload
    sha256 = Hexadecimal.text(SHA256.hash(data: bytes))
  }

  /// `.rbf` files have no header. All that is seen of Cyclone V in them is a run of ones, then a preamble.
  private static func startsLikeRBF(_ bytes: [UInt8]) -> Bool {
    let ones = bytes.prefix(1024).prefix { $0 == 0xff }.count
    return ones >= 32 && ones < 1024
      && bytes.dropFirst(ones).prefix(4).elementsEqual([0x6a, 0x6a, 0x6a, 0x6a])
  }

  /// The name by which git stores a file of these contents.
  package var gitBlob: String {
    var hash = Insecure.SHA1()
    hash.update(data: Array("blob \(bytes.count)\0".utf8))
    hash.update(data: bytes)
    return Hexadecimal.text(hash.finalize())
  }

  /// What the Linux FPGA manager takes: byte-swapped words of Xilinx's formats, `.rbf` as it is.
  package var firmware: [UInt8] {
    switch format {
    case .rbf, .swappedWords: return Array(bytes[payload])
    case .bit, .words:
      var result = [UInt8](repeating: 0, count: payload.count)
      let start = payload.lowerBound
      for index in result.indices { result[index] = bytes[start + (index ^ 3)] }
      return result
    }
  }
}

extension Hexadecimal {
  /// Two digits for each byte.
  static func text(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
  }
}
