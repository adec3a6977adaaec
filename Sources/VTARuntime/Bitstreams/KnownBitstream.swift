package import VTA

/// A bitstream that is recognised by its digest: what accelerator it makes of a board.
package struct KnownBitstream: Hashable, Sendable {
  package enum Digest: Hashable, Sendable {
    case sha256(String)
    /// For a file that nobody could hash otherwise: the name that git gave it.
    case gitBlob(String)

    /// `sha256:0b24…`
    package var description: String {
      switch self {
      case .sha256(let text): "sha256:\(text)"
      case .gitBlob(let text): "git:\(text)"
      }
    }
  }

  package let digest: Digest
  /// The file's name where it was published, or within the catalogue's folder.
  package let file: String
  /// Where it comes from; no address.
  package let origin: String
  package let byteCount: Int?
  /// Names of the boards that it is for.
  package let boards: [String]
  /// VTA's `HW_VER`.
  package let hardwareVersion: String
  package let target: Target
  /// Where they differ from the board's.
  package let registers: Board.Registers?
  /// Where it differs from the board's.
  package let clockMegahertz: Int?

  /// `pynq 0.0.2 1x16_i8w8a32_15_15_18_17`
  package var title: String { "\(target.name) \(hardwareVersion) \(target.configuration.name)" }

  package func matches(_ bitstream: Bitstream) -> Bool {
    if let byteCount, byteCount != bitstream.bytes.count { return false }
    switch digest {
    case .sha256(let text): return text == bitstream.sha256
    case .gitBlob(let text): return text == bitstream.gitBlob
    }
  }
}

extension Board {
  /// The board with this bitstream loaded, where that differs from what the board's description says.
  package func configured(with bitstream: KnownBitstream) -> Board {
    Board(
      name: name, title: title, deviceTree: deviceTree, part: part, idcode: idcode, target: bitstream.target,
      registers: bitstream.registers ?? registers, memory: memory, busBits: busBits,
      clockMegahertz: bitstream.clockMegahertz ?? clockMegahertz, coherency: coherency, reset: reset,
      configuration: configuration)
  }
}
