/// Which board this is, and what system runs on it.
extension Doctor {
  /// - Parameter told: which board the user says this is.
  static func boardFindings(_ told: Board?, _ detection: Board.Detection) -> (Board?, [Finding]) {
    switch (told, detection) {
    case (let board?, .board(let found, let reason)) where found.name != board.name:
      return (
        board,
        [
          Finding(
            "board", .warning,
            "taken as \(board.title), though the device tree says \(found.title) (\(reason))",
            fix: "drop --board, or the key board of the configuration, unless the device tree is wrong")
        ]
      )
    case (let board?, _): return (board, [Finding("board", .ok, "\(board.title), as told")])
    case (nil, .board(let board, let reason)):
      return (board, [Finding("board", .ok, "\(board.title): \(reason)")])
    case (nil, .unknown(let model, let compatible)):
      return (
        nil,
        [
          Finding(
            "board", .note,
            "the device tree describes no board that is known (model \(model.isEmpty ? "none" : model), compatible \(compatible.joined(separator: ", "))); vtad serves on its simulator. If an accelerator is here, name the board with --board NAME or FILE.json; known: \(Board.all.map(\.name).joined(separator: ", "))"
          )
        ]
      )
    case (nil, .noDeviceTree):
      return (
        nil,
        [
          Finding(
            "board", .note,
            "there is none: this machine has no device tree. Nothing is wrong: vtad serves on its simulator")
        ]
      )
    }
  }

  static func system(_ context: Context) -> [Finding] {
    let kernel = context.kernel
    var findings: [Finding] = []
    if let release = try? kernel.text(of: "/proc/sys/kernel/osrelease") {
      findings.append(Finding("kernel", .ok, "Linux \(release)"))
    }
    if kernel.exists("/dev/xlnk") {
      findings.append(
        Finding(
          "xlnk", .warning,
          "/dev/xlnk is there: an old PYNQ image, whose xlnk and libcma may take contiguous memory away",
          fix: "don't run PYNQ's own allocator beside vtad, or use an image without xlnk (PYNQ 2.7 or later)")
      )
    }
    return findings
  }
}
