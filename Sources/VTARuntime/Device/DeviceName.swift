internal import VTA
internal import VTAModule

/// What a device name means.
enum DeviceName {
  /// A device that is open, on the thread that will drive it.
  struct Opened {
    let description: DeviceDescription
    let backend: any DeviceBackend
  }

  typealias Open = @Sendable () throws(DeviceError) -> Opened

  private static let configurationBytesMax = 1 << 20

  /// - Returns: opens the device; to be called on its thread.
  /// - Throws: ``DeviceError``: the name means nothing.
  static func resolve(_ name: String, _ options: DeviceOptions) throws(DeviceError) -> Open {
    let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    switch (parts[0], parts.count > 1 ? parts[1] : nil) {
    case ("auto", nil):
      let board = try board(options, of: name)
      return { () throws(DeviceError) in try auto(board, options) }
    case ("sim", nil):
      guard !options.requiresHardware else {
        throw .noBoard(name: name, reasons: ["it is a simulator, but require_hardware is set"])
      }
      return { () throws(DeviceError) in try simulator(name: name, target: nil, note: nil, options) }
    case ("sim", let text?):
      guard !options.requiresHardware else {
        throw .noBoard(name: name, reasons: ["it is a simulator, but require_hardware is set"])
      }
      let target = try target(named: text, of: name)
      return { () throws(DeviceError) in try simulator(name: name, target: target, note: nil, options) }
    case ("uio", let device?) where !device.isEmpty:
      let board = try board(options, of: name)
      return { () throws(DeviceError) in
        try BoardOpening(name: name, board: board, options).open(.uio(device))
      }
    case ("mem", let text?):
      guard let address = UInt64(text.dropFirst(text.hasPrefix("0x") ? 2 : 0), radix: 16) else {
        throw .unknownDevice(name: name)
      }
      let board = try board(options, of: name)
      return { () throws(DeviceError) in
        try BoardOpening(name: name, board: board, options).open(.physical(PhysicalAddress(address)))
      }
    case ("simulated-board", let text?):
      return try simulatedBoard(text, name: name, options)
    default: throw .unknownDevice(name: name)
    }
  }

  // MARK: Boards

  /// The board that the configuration names; `nil`: to be detected.
  private static func board(_ options: DeviceOptions, of device: String) throws(DeviceError) -> Board? {
    guard let name = options.board else { return nil }
    return try board(named: name, of: device)
  }

  /// A board by its name, by that of the target that it is known for, or by its file.
  private static func board(named name: String, of device: String) throws(DeviceError) -> Board {
    do throws(BoardError) {
      return try Board.find(name)
    } catch {
      if let board = Board.all.first(where: { $0.target.name == name }) { return board }
      throw .unknownBoard(device: device, reason: "\(error)")
    }
  }

  /// The real driver, above a board that is simulated.
  private static func simulatedBoard(
    _ text: String, name: String, _ options: DeviceOptions
  ) throws(DeviceError) -> Open {
    guard let make = options.simulatedBoard else {
      throw .unknownBoard(device: name, reason: "this program has no simulated boards; use vtad")
    }
    let board = try board(named: text, of: name)
    return { () throws(DeviceError) in
      var options = options
      options.kernel = try make(board)
      let opening = BoardOpening(name: "simulated-board:\(board.name)", board: board, options)
      var opened = try opening.open(.any)
      opened = Opened(
        description: opened.description.with(
          kind: .simulatedBoard, note: "a simulated board beneath the driver, no hardware"),
        backend: opened.backend)
      return opened
    }
  }

  /// The board that is there; else the simulator, said plainly.
  private static func auto(_ board: Board?, _ options: DeviceOptions) throws(DeviceError) -> Opened {
    do throws(DeviceError) {
      return try BoardOpening(name: "auto", board: board, options).open(.any)
    } catch {
      guard !options.requiresHardware else { throw error }
      let reasons: [String]
      if case .noBoard(_, let list) = error { reasons = list } else { reasons = ["\(error)"] }
      return try simulator(
        name: "sim", target: nil,
        note: "no board could be opened, so auto is the simulator: \(reasons.joined(separator: "; "))",
        options)
    }
  }

  // MARK: Simulators

  /// - Parameter device: for the error message.
  static func target(named text: String, of device: String) throws(DeviceError) -> Target {
    if let target = Target.named(text) { return target }
    guard text.hasSuffix(".json") else {
      throw .unusableTarget(name: device, reason: "there is no target \(text.isEmpty ? "of no name" : text)")
    }
    do {
      return try Target(json: try File.read(text, limit: configurationBytesMax))
    } catch {
      throw .unusableTarget(name: device, reason: "\(text): \(error)")
    }
  }

  private static func simulator(
    name: String, target: Target?, note: String?, _ options: DeviceOptions
  ) throws(DeviceError) -> Opened {
    Opened(
      description: DeviceDescription(name: name, kind: .simulator, target: target, note: note),
      backend: try SimulatorBackend(target: target, options.simulator))
  }
}
