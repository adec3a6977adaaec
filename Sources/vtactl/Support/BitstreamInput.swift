internal import VTAJTAG
internal import VTARuntime

enum BitstreamInput {
  static func read(_ path: String) throws(Failure) -> Bitstream {
    let bytes = try FileInput.read(path, limit: Bitstream.byteCountMax)
    do { return try Bitstream(bytes) } catch { throw Failure(path, error) }
  }
}

enum BoardInput {
  static func read(_ name: String) throws(Failure) -> Board {
    do {
      return try Board.find(name)
    } catch .unknown(_) {
      throw .usage(
        "--board \(name)",
        "is unknown; known: \(Board.all.map(\.name).joined(separator: ", ")), or a FILE.json")
    } catch {
      throw Failure("--board \(name)", error)
    }
  }
}

extension ConfigurationImage {
  init(_ bitstream: Bitstream) {
    let payload =
      bitstream.format == .swappedWords ? bitstream.unswapped[...] : bitstream.bytes[bitstream.payload]
    self.init(
      format: bitstream.format == .rbf ? .rbf : .words, part: bitstream.header?.part,
      idcode: bitstream.idcode,
      payload: payload)
  }
}

extension Bitstream {
  /// The words of a `.bin` file in the order of a `.bit` file.
  fileprivate var unswapped: [UInt8] {
    let start = payload.lowerBound
    return payload.indices.map { bytes[start + (($0 - start) ^ 3)] }
  }
}
