internal import VTA

/// Why a file is no bitstream, or not one for this board.
package enum BitstreamError: Error, Equatable, CustomStringConvertible {
  case unknownFormat
  case tooLarge(byteCount: Int)
  case truncated(what: String, at: Int)
  case badHeader(reason: String)
  case noSyncWord
  case swappedInHeader
  case unevenPayload(byteCount: Int)
  case wrongFormat(format: Bitstream.Format, board: String, wanted: String)
  case wrongPart(found: String, board: String, part: String)
  case wrongSize(byteCount: Int, board: String, limit: Int)
  case unreadable(reason: String)
  case manifest(reason: String)

  package var description: String {
    switch self {
    case .unknownFormat:
      "the file is no bitstream: it has neither a .bit header, nor a Xilinx sync word, nor the start of an .rbf file; give the file that the FPGA tools wrote"
    case .tooLarge(let count):
      "the file has \(count) bytes or more; no board takes more than \(Bitstream.byteCountMax); check the path"
    case .truncated(let what, let position):
      "the file ends within \(what), at byte \(position); copy it again"
    case .badHeader(let reason): "the .bit header is damaged: \(reason); copy the file again"
    case .noSyncWord:
      "the configuration data has no sync word AA995566 near its start; copy the file again"
    case .swappedInHeader:
      "the words behind the .bit header are byte-swapped, as only a .bin file has them; give the file that Vivado wrote"
    case .unevenPayload(let count):
      "the configuration data has \(count) bytes, no multiple of 4; copy the file again"
    case .wrongFormat(let format, let board, let wanted):
      "the file is a .\(format.rawValue), but \(board) is configured with \(wanted); give the bitstream for this board"
    case .wrongPart(let found, let board, let part):
      "the bitstream is for \(found), but \(board) has \(part); give the bitstream for this board"
    case .wrongSize(let count, let board, let limit):
      "the file has \(count) bytes, but the FPGA of \(board) takes at most \(limit); give the bitstream for this board"
    case .unreadable(let reason): "the bitstream can't be read: \(reason)"
    case .manifest(let reason): "no catalogue of bitstreams: \(reason); see bitstreams/manifest.json"
    }
  }
}
