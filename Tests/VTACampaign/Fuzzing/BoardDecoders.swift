private import VTAJTAG
private import VTARuntime

extension FuzzedDecoder {
  /// `.bit`, `.bin` and `.rbf` files.
  static let bitstream = FuzzedDecoder(name: "bitstream") { bytes in
    guard let bitstream = try? Bitstream(bytes) else { return nil }
    let firmware = bitstream.firmware
    guard firmware.count == bitstream.payload.count else {
      return "\(bitstream.payload.count) bytes become \(firmware.count)"
    }
    if bitstream.format != .rbf {
      guard let again = try? Bitstream(firmware), again.format == .swappedWords, again.firmware == firmware,
        again.idcode == bitstream.idcode
      else { return "the firmware made of a .\(bitstream.format.rawValue) file is read as something else" }
    }
    for board in Board.all { _ = try? bitstream.check(for: board) }
    _ = BitstreamCatalogue.published.recognise(bitstream)
    return nil
  }

  /// Board descriptions.
  static let board = FuzzedDecoder(name: "board") { bytes in
    guard let board = try? Board(json: bytes) else { return nil }
    let limit = board.memory.deviceAddress(of: board.memory.limit).rawValue
    return limit <= 1 << 32 ? nil : "memory ends at \(limit)"
  }

  /// Intel HEX files: firmware of a USB-JTAG cable. What is accepted is accepted again, and only its data counts.
  static let firmware = FuzzedDecoder(name: "firmware") { bytes in
    guard let file = try? IntelHex(bytes) else { return nil }
    let text = file.pieces.map(Self.record).joined() + ":00000001FF\n"
    guard let again = try? IntelHex(Array(text.utf8)), again == file else {
      return "\(file.pieces.count) pieces change when they are written and read again"
    }
    return nil
  }

  private static func record(_ piece: IntelHex.Piece) -> String {
    var bytes = [
      UInt8(truncatingIfNeeded: piece.bytes.count), UInt8(piece.address >> 8),
      UInt8(truncatingIfNeeded: piece.address), 0,
    ]
    bytes += piece.bytes
    bytes.append(0 &- bytes.reduce(0, &+))
    let digits = Array("0123456789ABCDEF")
    return ":" + String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }) + "\n"
  }

  /// Manifests of bitstreams.
  static let catalogue = FuzzedDecoder(name: "catalogue") { bytes in
    _ = try? BitstreamCatalogue(json: bytes)
    return nil
  }
}
