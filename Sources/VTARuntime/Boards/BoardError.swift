/// Why there is no description of a board.
package enum BoardError: Error, Equatable, CustomStringConvertible {
  case malformed(reason: String)
  case unknown(name: String)
  case unreadable(reason: String)

  package var description: String {
    switch self {
    case .malformed(let reason): "no board description: \(reason); see the files in Configs/boards"
    case .unknown(let name):
      "there is no board \(name); use \(Board.all.map(\.name).joined(separator: ", ")) or a FILE.json"
    case .unreadable(let reason): "the board description can't be read: \(reason)"
    }
  }
}
