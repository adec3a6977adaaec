/// The FPGA manager of Cyclone V as registers, for boards whose kernel has no driver for it
/// (reference/vta-hardware.md, section 8.3).
final class CycloneManager: RegisterDevice {
  static let address: UInt64 = 0xFF70_6000
  static let dataAddress: UInt64 = 0xFFB9_0000

  private enum Mode: UInt32 {
    case reset = 1
    case configuration = 2
    case initialisation = 3
    case user = 4
  }

  private enum Offset {
    static let status: UInt64 = 0x000
    static let control: UInt64 = 0x004
    static let clockCount: UInt64 = 0x008
    static let clockStatus: UInt64 = 0x00C
    static let monitor: UInt64 = 0x850
  }

  private enum Control {
    static let enable: UInt32 = 1
    static let configurationReset: UInt32 = 1 << 2
    static let takesData: UInt32 = 1 << 8
    static let is32Bit: UInt32 = 1 << 9
    static func ratio(_ value: UInt32) -> UInt32 { value >> 6 & 3 }
  }

  let name = "fpgamgr"
  private let fabric: Fabric
  /// The switches of the board; 01010 for the compressed images that VTA's flow makes.
  private let msel: UInt32
  private var mode: Mode
  private var control: UInt32 = 0
  private var image: [UInt8] = []
  private var isClocked = false
  private var isDone: Bool

  init(_ fabric: Fabric, msel: UInt32) {
    self.fabric = fabric
    self.msel = msel
    mode = fabric.isConfigured ? .user : .configuration
    isDone = fabric.isConfigured
  }

  /// The port that takes configuration data.
  final class DataPort: RegisterDevice {
    let name = "fpgamgrdata"
    private let manager: CycloneManager

    init(_ manager: CycloneManager) { self.manager = manager }

    func read(_ offset: UInt64) -> UInt32 { 0 }
    func write(_ offset: UInt64, _ value: UInt32) { manager.take(value) }
  }

  func read(_ offset: UInt64) -> UInt32 {
    switch offset {
    case Offset.status:
      // A driver of the kernel's may have configured it meanwhile.
      let shown = image.isEmpty && fabric.isConfigured ? Mode.user : mode
      return shown.rawValue | msel << 3
    case Offset.control: return control
    case Offset.clockStatus: return isClocked ? 1 : 0
    case Offset.monitor:
      check()
      // nSTATUS, CONF_DONE, INIT_DONE and power.
      return 1 | (isDone ? 1 << 1 : 0) | (mode == .user ? 1 << 2 : 0) | 1 << 11
    default: return 0
    }
  }

  func write(_ offset: UInt64, _ value: UInt32) {
    switch offset {
    case Offset.control:
      let changed = value ^ control
      control = value
      guard value & Control.enable != 0 else { return }
      if changed & Control.configurationReset != 0 { setReset(value & Control.configurationReset != 0) }
    case Offset.clockCount:
      isClocked = true
      if isDone { mode = .user }
    case Offset.clockStatus: if value & 1 != 0 { isClocked = false }
    default: break
    }
  }

  private func setReset(_ isAsserted: Bool) {
    (image, isDone, isClocked) = ([], false, false)
    mode = isAsserted ? .reset : .configuration
    guard isAsserted else { return }
    // Real ones can hang the processor.
    for bridge in fabric.bridges where bridge.isEnabled {
      fabric.complain("the FPGA lost its design behind the open bridge \(bridge.name)")
    }
    fabric.clear()
  }

  private func take(_ word: UInt32) {
    guard mode == .configuration, control & Control.takesData != 0 else { return }
    withUnsafeBytes(of: word.littleEndian) { image += $0 }
  }

  /// Whether the data so far is a whole design. Width and ratio must be those of the switches, or it is noise.
  private func check() {
    guard mode == .configuration, !isDone, !image.isEmpty else { return }
    let is32Bit = msel & 8 != 0
    let ratio = msel & 3 == 0 ? 0 : (msel & 3) + (is32Bit ? 1 : 0)
    guard (control & Control.is32Bit != 0) == is32Bit, Control.ratio(control) == ratio,
      fabric.faults.take(.load) == nil, fabric.configure(image) == nil
    else { return }
    isDone = true
    mode = .initialisation
  }
}

/// The reset manager of Cyclone V, as far as it holds the bridges in reset.
final class CycloneResets: RegisterDevice {
  static let address: UInt64 = 0xFFD0_5000
  private static let bridgeResets: UInt64 = 0x1C
  /// By bit.
  private static let names = ["hps2fpga", "lwhps2fpga", "fpga2hps"]

  let name = "rstmgr"
  private let fabric: Fabric

  init(_ fabric: Fabric) { self.fabric = fabric }

  func read(_ offset: UInt64) -> UInt32 {
    guard offset == Self.bridgeResets else { return 0 }
    var value: UInt32 = 0
    for (bit, name) in Self.names.enumerated() {
      let isEnabled = fabric.bridges.first { $0.name == name }?.isEnabled ?? false
      if !isEnabled { value |= 1 << UInt32(bit) }
    }
    return value
  }

  func write(_ offset: UInt64, _ value: UInt32) {
    guard offset == Self.bridgeResets else { return }
    for (bit, name) in Self.names.enumerated() {
      fabric.setBridge(name, enabled: value >> UInt32(bit) & 1 == 0)
    }
  }
}
