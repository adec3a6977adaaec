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

  /// Manifests of bitstreams.
  static let catalogue = FuzzedDecoder(name: "catalogue") { bytes in
    _ = try? BitstreamCatalogue(json: bytes)
    return nil
  }
}
