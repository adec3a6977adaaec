/// Whether a bitstream may be loaded on a board.
extension Bitstream {
  /// - Returns: what speaks for care although nothing speaks against it.
  /// - Throws: ``BitstreamError``, naming both sides.
  package func check(for board: Board) throws(BitstreamError) -> [String] {
    switch (board.configuration.family, format) {
    case (.cycloneV, .rbf):
      if let limit = board.configuration.uncompressedByteCount, payload.count > limit {
        throw .wrongSize(byteCount: payload.count, board: board.title, limit: limit)
      }
      return [
        "an .rbf file names no part; only its use on \(board.title) shows whether it is for \(board.part)"
      ]
    case (.cycloneV, _): throw .wrongFormat(format: format, board: board.title, wanted: "an .rbf file")
    case (.zynq7000, .rbf), (.zynqUltraScale, .rbf):
      throw .wrongFormat(format: format, board: board.title, wanted: "a .bit or .bin file")
    case (.zynq7000, _), (.zynqUltraScale, _): return try checkPart(of: board)
    }
  }

  private func checkPart(of board: Board) throws(BitstreamError) -> [String] {
    // The highest four bits count revisions of the silicon.
    let versionless: UInt32 = 0x0fff_ffff
    if let idcode, idcode & versionless != board.idcode & versionless {
      let found = "a device with IDCODE 0x\(String(idcode, radix: 16))"
      let wanted = "\(board.part), IDCODE 0x\(String(board.idcode, radix: 16))"
      throw .wrongPart(
        found: header.map { "\($0.part), \(found)" } ?? found, board: board.title, part: wanted)
    }
    guard let header else {
      return idcode == nil ? ["the file names no part; it is taken to be for \(board.part)"] : []
    }
    let (found, own) = (PartName(header.part), PartName(board.part))
    guard found.device == own.device else {
      throw .wrongPart(found: header.part, board: board.title, part: board.part)
    }
    if !found.package.isEmpty, found.package != own.package {
      return [
        "the bitstream is for the package \(found.package) of the same device, \(board.title) has \(own.package): nothing but pins differs, and VTA's designs use none"
      ]
    }
    return []
  }
}
