/// Which board this is, from the device tree that its boot software gave to Linux.
extension Board {
  package enum Detection: Equatable, Sendable {
    case board(Board, because: String)
    /// A device tree, but of none of the boards that this build knows.
    case unknown(model: String, compatible: [String])
    /// A machine without device tree.
    case noDeviceTree
  }

  package static let deviceTreeFolder = "/proc/device-tree"

  /// - Parameter boards: those to choose from.
  package static func detect(on kernel: any Kernel, among boards: [Board] = all) -> Detection {
    let compatible = strings("compatible", kernel)
    let model = strings("model", kernel).first ?? ""
    guard !compatible.isEmpty || !model.isEmpty else { return .noDeviceTree }
    // The list goes from the board to the chip, and a later revision names its forerunners behind itself.
    for entry in compatible {
      if let board = boards.first(where: { $0.deviceTree.compatible.contains(entry) }) {
        return .board(board, because: "compatible has \(entry)")
      }
    }
    if let name = strings("chosen/pynq_board", kernel).first,
      let board = boards.first(where: { $0.deviceTree.pynqBoards.contains(name) })
    {
      return .board(board, because: "chosen/pynq_board is \(name)")
    }
    if let board = boards.first(where: { $0.deviceTree.models.contains(model) }) {
      return .board(board, because: "model is \(model)")
    }
    return .unknown(model: model, compatible: compatible)
  }

  /// A property that holds strings, each ended by a zero byte.
  private static func strings(_ property: String, _ kernel: any Kernel) -> [String] {
    guard let bytes = try? kernel.bytes(of: "\(deviceTreeFolder)/\(property)") else { return [] }
    return bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
  }
}
