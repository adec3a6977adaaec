internal import SystemPackage

/// The FPGA manager of Cyclone V, driven by its registers where the kernel has no driver that takes files: the sequence of
/// reference/vta-hardware.md, section 8.3, with the bridges held in reset meanwhile.
struct CycloneManagerRegisters {
  let board: Board
  let kernel: any Kernel

  private static let manager = PhysicalAddress(0xff70_6000)
  private static let data = PhysicalAddress(0xffb9_0000)
  /// Reset manager; `brgmodrst` is one of its registers (Cyclone V HPS register map).
  private static let resets = PhysicalAddress(0xffd0_5000)
  private static let bridgeResets = 0x1c
  private static let bridgeBits: [String: UInt32] = [
    "hps2fpga": 1 << 0, "lwhps2fpga": 1 << 1, "fpga2hps": 1 << 2,
  ]

  private enum Offset {
    static let status = 0x000
    static let control = 0x004
    static let clockCount = 0x008
    static let clockStatus = 0x00c
    static let edgeClear = 0x84c
    static let pins = 0x850
  }

  private enum Control {
    static let enable: UInt32 = 1 << 0
    static let nCE: UInt32 = 1 << 1
    static let nConfigPull: UInt32 = 1 << 2
    static let takesData: UInt32 = 1 << 8
    static let is32Bit: UInt32 = 1 << 9
    static let ratioShift: UInt32 = 6
    static let ratioMask: UInt32 = 3 << 6
  }

  private enum Mode: UInt32 {
    case reset = 1
    case configuration = 2
    case user = 4
  }

  private enum Pin {
    static let nStatus: UInt32 = 1 << 0
    static let configurationDone: UInt32 = 1 << 1
  }

  /// Clocks that end the initialisation.
  private static let startClocks: UInt32 = 4
  private static let pollInterval = Duration.milliseconds(1)
  private static let pollsMax = 1000

  /// The switches of the board; `nil` without access to the registers.
  static func msel(on kernel: any Kernel) -> UInt32? {
    guard let status = try? SystemRegisters(on: kernel).read(manager) else { return nil }
    return status >> 3 & 31
  }

  /// Whether the processor can configure the FPGA with these switches.
  static func isUsable(msel: UInt32) -> Bool { msel & 16 == 0 && msel & 3 != 3 }

  /// Whether compressed files can be used with these switches.
  static func decompresses(msel: UInt32) -> Bool { msel & 3 == 2 }

  func configure(_ image: [UInt8]) throws(FPGAError) {
    let manager: any RegisterBlock
    let data: any RegisterBlock
    let resets: any RegisterBlock
    do {
      let memory = try SystemRegisters(on: kernel)
      manager = try memory.page(Self.manager)
      data = try memory.page(Self.data)
      resets = try memory.page(Self.resets)
    } catch {
      throw .call(error, advice: "run as root, with a kernel that lets /dev/mem reach registers")
    }
    let msel = manager.read(Offset.status) >> 3 & 31
    guard Self.isUsable(msel: msel) else { throw .badMSEL(msel) }
    if let whole = board.configuration.uncompressedByteCount, image.count < whole,
      !Self.decompresses(msel: msel)
    {
      throw .compressedWithoutDecompression(msel: msel)
    }
    let bridges = board.configuration.bridges.compactMap { Self.bridgeBits[$0] }.reduce(0, |)
    let wereHeld = resets.read(Self.bridgeResets)
    resets.write(Self.bridgeResets, wereHeld | bridges)
    // After a failure the bridges stay closed, as the kernel leaves them: behind them is nothing that answers.
    try transfer(image, to: manager, data, msel: msel)
    resets.write(Self.bridgeResets, wereHeld & ~bridges)
  }

  private func transfer(
    _ image: [UInt8], to manager: any RegisterBlock, _ data: any RegisterBlock, msel: UInt32
  ) throws(FPGAError) {
    func setControl(_ set: UInt32, clear: UInt32 = 0) {
      manager.write(Offset.control, manager.read(Offset.control) & ~clear | set)
    }
    func wait(for what: String, _ isReached: () -> Bool) throws(FPGAError) {
      for _ in 0..<Self.pollsMax {
        if isReached() { return }
        kernel.sleep(Self.pollInterval)
      }
      throw .timeout(waitingFor: what)
    }
    func isIn(_ mode: Mode) -> Bool { manager.read(Offset.status) & 7 == mode.rawValue }

    // The processor drives the pins from here on.
    let is32Bit = msel & 8 != 0
    let ratio = msel & 3 == 0 ? 0 : (msel & 3) + (is32Bit ? 1 : 0)
    setControl(
      ratio << Control.ratioShift | (is32Bit ? Control.is32Bit : 0),
      clear: Control.ratioMask | Control.is32Bit | Control.nCE)
    setControl(Control.enable)
    setControl(Control.nConfigPull)
    try wait(for: "the FPGA's reset") { isIn(.reset) }
    setControl(0, clear: Control.nConfigPull)
    try wait(for: "the configuration phase") { isIn(.configuration) }
    manager.write(Offset.edgeClear, Pin.nStatus)
    setControl(Control.takesData)
    for start in stride(from: 0, to: image.count, by: 4) {
      // Little-endian words; zeros fill the last.
      var word: UInt32 = 0
      for index in start..<min(start + 4, image.count) {
        word |= UInt32(image[index]) << UInt32(8 * (index - start))
      }
      data.write(0, word)
    }
    try wait(for: "CONF_DONE") {
      let pins = manager.read(Offset.pins)
      return pins & Pin.configurationDone != 0 && pins & Pin.nStatus != 0
    }
    setControl(0, clear: Control.takesData)
    manager.write(Offset.clockStatus, 1)
    manager.write(Offset.clockCount, Self.startClocks)
    try wait(for: "the start clocks") { manager.read(Offset.clockStatus) & 1 != 0 }
    manager.write(Offset.clockStatus, 1)
    try wait(for: "the design to run") { isIn(.user) }
    // Linux or boot software drives the pins again.
    setControl(0, clear: Control.enable)
  }
}
