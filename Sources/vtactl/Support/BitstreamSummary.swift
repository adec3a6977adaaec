private import VTA
internal import VTARuntime

/// What `vtactl bitstream inspect` prints.
struct BitstreamSummary: Encodable {
  struct Known: Encodable {
    let title: String
    let target: String
    let registers: String?
    let origin: String
  }

  struct Fit: Encodable {
    let board: String
    let fits: Bool
    let notes: [String]
  }

  let format: String
  let part: String?
  let design: String?
  let date: String?
  let time: String?
  /// `0x03727093`
  let idcode: String?
  let byteCount: Int
  let payloadByteCount: Int
  let sha256: String
  /// `nil`: in no catalogue.
  let known: Known?
  let boards: [Fit]

  init(_ bitstream: Bitstream, catalogue: BitstreamCatalogue) {
    format = bitstream.format.rawValue
    part = bitstream.header?.part
    design = bitstream.header?.design
    date = bitstream.header?.date
    time = bitstream.header?.time
    idcode = bitstream.idcode.map { code in
      let digits = String(code, radix: 16)
      return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
    }
    byteCount = bitstream.bytes.count
    payloadByteCount = bitstream.payload.count
    sha256 = bitstream.sha256
    known = catalogue.recognise(bitstream).map { known in
      Known(
        title: known.title, target: known.target.description, registers: known.registers?.map.name,
        origin: known.origin)
    }
    boards = Board.all.map { board in
      do {
        return Fit(board: board.name, fits: true, notes: try bitstream.check(for: board))
      } catch {
        return Fit(board: board.name, fits: false, notes: ["\(error)"])
      }
    }
  }

  func printText() {
    print("format: \(format)\(part.map { ", part \($0)" } ?? "")\(idcode.map { ", IDCODE \($0)" } ?? "")")
    if let design, let date, let time { print("design: \(design), \(date) \(time)") }
    print("size: \(byteCount) bytes, \(payloadByteCount) of them configuration data")
    print("sha256: \(sha256)")
    if let known {
      print("known: \(known.title), \(known.origin); accelerator \(known.target)")
    } else {
      print("known: no; the accelerator in it can't be told from the file")
    }
    for fit in boards where fit.fits {
      print("board: \(fit.board)\(fit.notes.isEmpty ? "" : " (\(fit.notes.joined(separator: "; ")))")")
    }
    if !boards.contains(where: \.fits) { print("board: none that is known takes it") }
  }
}
