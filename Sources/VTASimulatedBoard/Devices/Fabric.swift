internal import SystemPackage
internal import VTA
internal import VTARuntime

/// The programmable logic: what it is configured as, and the bridges to it.
final class Fabric {
  let board: Board
  let accelerator: Accelerator
  let faults: Faults
  private(set) var isConfigured = false
  /// Names and whether traffic passes, in the order of `/sys/class/fpga_bridge`.
  private(set) var bridges: [(name: String, isEnabled: Bool)]
  let note: (BoardEvent) -> Void
  /// Called with what a driver must not do.
  let complain: (String) -> Void

  init(
    _ board: Board, _ accelerator: Accelerator, faults: Faults, areBridgesEnabled: Bool,
    note: @escaping (BoardEvent) -> Void, complain: @escaping (String) -> Void
  ) {
    self.board = board
    self.accelerator = accelerator
    self.faults = faults
    self.note = note
    self.complain = complain
    bridges = board.configuration.bridges.map { ($0, areBridgesEnabled) }
  }

  /// Why no register can be reached; `nil` if they can.
  var unreachable: String? {
    if !isConfigured { return "the FPGA is not configured" }
    return bridges.first { !$0.isEnabled }.map { "the bridge \($0.name) is disabled" }
  }

  func setBridges(enabled: Bool) {
    for index in bridges.indices { bridges[index].isEnabled = enabled }
  }

  func setBridge(_ name: String, enabled: Bool) {
    for index in bridges.indices where bridges[index].name == name { bridges[index].isEnabled = enabled }
  }

  /// The FPGA forgets its design.
  func clear() {
    isConfigured = false
    accelerator.configure(nil)
  }

  /// The FPGA becomes what the image says.
  /// - Returns: why it does not; then it is not configured.
  func configure(_ image: [UInt8]) -> String? {
    clear()
    if let reason = SimulatedBitstream.refusal(of: image, for: board) { return reason }
    configure(SimulatedBitstream.target(in: image) ?? board.target)
    return nil
  }

  /// As boot software leaves it.
  func configure(_ target: Target) {
    accelerator.configure(target)
    isConfigured = true
    note(.configured(target.description))
  }
}
