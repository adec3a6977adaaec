internal import VTARuntime

extension BoardInput {
  /// The board that a command is about: the one that is named, or else that of the device tree.
  static func read(_ name: String?, on kernel: any Kernel) throws(Failure) -> Board {
    if let name { return try read(name) }
    switch Board.detect(on: kernel) {
    case .board(let board, _): return board
    case .unknown(let model, _):
      throw Failure("board", "the device tree describes none that is known (\(model)); name it with --board")
    case .noDeviceTree:
      throw Failure("board", "this machine has no device tree to know one by; name it with --board")
    }
  }
}
