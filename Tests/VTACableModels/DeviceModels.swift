/// A processor's debug port: 4 instruction bits.
package final class DebugPortModel: TAPModel {
  private let idcode: UInt32

  package init(idcode: UInt32) {
    self.idcode = idcode
    super.init(instructionLength: 4)
  }

  override var resetInstruction: UInt64 { 0xE }
  override func register(for instruction: UInt64) -> any DataRegister {
    switch instruction {
    case 0xE: ValueRegister(UInt64(idcode), length: 32)
    case 0xA, 0xB: ValueRegister(0, length: 35)
    default: BypassRegister()
    }
  }
}

/// A device that nobody knows.
package final class StrangerModel: TAPModel {
  private let idcode: UInt32?

  package init(idcode: UInt32?, instructionLength: Int) {
    self.idcode = idcode
    super.init(instructionLength: instructionLength)
  }

  override var resetInstruction: UInt64 { idcode == nil ? ones : 0x2 }
  override func register(for instruction: UInt64) -> any DataRegister {
    if let idcode, instruction == 0x2 { return ValueRegister(UInt64(idcode), length: 32) }
    return BypassRegister()
  }
}

/// The configuration logic of an FPGA of AMD's: takes bits one after the other, most significant bit of each word first, and
/// looks for the synchronisation word at any bit.
package final class ConfigurationLogic {
  private let idcode: UInt32
  let sink = SinkRegister()
  package private(set) var isDone = false
  package private(set) var isInit = true
  package private(set) var isStarted = false
  package private(set) var clears = 0
  /// A device whose supply fails never finishes.
  package var neverClears = false
  private var clearing = 0
  private var clearedClocks = 0
  private var startClocks = 0
  private var isStarting = false
  /// What broke the rules of the data sheets; empty if nothing did.
  package private(set) var complaints: [String] = []

  /// Clocks that clearing takes, and that must pass before the data, and that the start-up needs.
  private static let clearingClocks = 3000
  private static let waitClocks = 10_000
  private static let startClocks = 2000

  init(idcode: UInt32) { self.idcode = idcode }

  func clear() {
    clears += 1
    isDone = false
    isInit = false
    isStarted = false
    isStarting = false
    clearing = Self.clearingClocks
    clearedClocks = 0
    sink.clear()
  }

  func beginData() {
    if !isInit { complaints.append("data before the memory is cleared") }
    if clearedClocks < Self.waitClocks { complaints.append("only \(clearedClocks) clocks after clearing") }
  }

  func start() {
    isStarting = true
    startClocks = 0
  }

  func idled(_ clocks: Int) {
    if clearing > 0 {
      clearing -= clocks
      if clearing <= 0 { isInit = !neverClears }
    } else {
      clearedClocks += clocks
    }
    if isStarting {
      startClocks += clocks
      if startClocks >= Self.startClocks, !isStarted {
        isStarted = isComplete()
        isDone = isStarted
      }
    }
  }

  /// Reads the packets: the device's own IDCODE is written, and the stream ends with DESYNC.
  private func isComplete() -> Bool {
    var window: UInt32 = 0
    var seen = 0
    var words: [UInt32] = []
    var synced = false
    for index in 0..<sink.bitCount {
      window = window << 1 | UInt32(sink.bytes[index / 8] >> (index % 8) & 1)
      seen += 1
      if !synced {
        if seen >= 32, window == 0xAA99_5566 {
          synced = true
          seen = 0
        }
      } else if seen == 32 {
        words.append(window)
        seen = 0
      }
    }
    guard synced else { return false }
    guard let code = words.firstIndex(of: 0x3001_8001), code + 1 < words.count,
      words[code + 1] & 0x0FFF_FFFF == idcode & 0x0FFF_FFFF
    else {
      isInit = false
      return false
    }
    return zip(words, words.dropFirst()).contains { $0 == 0x3000_8001 && $1 == 0x0000_000D }
  }

  /// What has come since the memory was cleared, bit 0 of byte 0 first.
  package var received: (bytes: [UInt8], bitCount: Int) { (sink.bytes, sink.bitCount) }
}

/// The FPGA of a Zynq-7000: 6 instruction bits.
package final class Zynq7000Model: TAPModel {
  private let idcode: UInt32
  package let logic: ConfigurationLogic

  package init(idcode: UInt32) {
    self.idcode = idcode
    logic = ConfigurationLogic(idcode: idcode)
    super.init(instructionLength: 6)
  }

  override var resetInstruction: UInt64 { 0x09 }
  override var capturedInstruction: UInt64 { logic.capture }
  override func register(for instruction: UInt64) -> any DataRegister {
    switch instruction {
    case 0x09: ValueRegister(UInt64(idcode), length: 32)
    case 0x05: logic.sink
    default: BypassRegister()
    }
  }
  override func updated(instruction: UInt64) { logic.updated(instruction) }
  override func idled(_ clocks: Int) { logic.idled(clocks) }
}

extension ConfigurationLogic {
  /// Bits 2 to 5: start-up over, ISC enabled, INIT_B, DONE.
  var capture: UInt64 {
    0b01 | (isStarted ? 1 << 2 : 0) | (isInit ? 1 << 4 : 0) | (isDone ? 1 << 5 : 0)
  }

  /// - Parameter instruction: six bits.
  func updated(_ instruction: UInt64) {
    switch instruction {
    case 0x05: beginData()
    case 0x0B: clear()
    case 0x0C: start()
    default: break
    }
  }
}

/// The processor's and the FPGA's TAP of a Zynq UltraScale+, together 12 instruction bits: the lower six are the FPGA's, and
/// are dead until JTAG_CTRL lets them in.
package final class ZynqMPModel: TAPModel {
  private let idcode: UInt32
  package let logic: ConfigurationLogic
  /// The debug port's place in the chain: between this device and TDO.
  package let port: HideablePort
  package private(set) var isHidden: Bool
  /// A boot image with security never lets the FPGA's TAP in.
  package var isLocked = false
  private var pending: UInt64?

  private static let passing: [UInt64] = [0b111111, 0b100100]

  package init(idcode: UInt32, isHidden: Bool) {
    self.idcode = idcode
    self.isHidden = isHidden
    logic = ConfigurationLogic(idcode: idcode)
    port = HideablePort(isHidden: isHidden)
    super.init(instructionLength: 12)
  }

  override var resetInstruction: UInt64 { 0b001001_001001 }
  override var capturedInstruction: UInt64 { isHidden ? 0b01 : logic.capture }

  override func register(for instruction: UInt64) -> any DataRegister {
    switch (instruction >> 6, instruction & 0x3F) {
    case (0b001001, 0b001001): ValueRegister(UInt64(idcode), length: 32)
    case (0b100000, _): ValueRegister(0, length: 32)
    case (let upper, 0x05) where !isHidden && Self.passing.contains(upper): logic.sink
    default: BypassRegister()
    }
  }

  override func updated(instruction: UInt64) {
    if !isHidden, Self.passing.contains(instruction >> 6) { logic.updated(instruction & 0x3F) }
  }

  override func updatedDR(instruction: UInt64, register: any DataRegister) {
    if instruction >> 6 == 0b100000, let register = register as? ValueRegister { pending = register.value }
  }

  /// The chain changes its shape while nothing is shifted through it.
  override func wasReset() {
    guard let pending, !isLocked else { return }
    isHidden = pending >> 1 & 1 == 0
    port.isHidden = pending & 1 == 0
    self.pending = nil
  }

  override func idled(_ clocks: Int) { logic.idled(clocks) }

  /// The debug port, or a bypass in its place.
  package final class HideablePort: TAPModel {
    fileprivate(set) var isHidden: Bool

    init(isHidden: Bool) {
      self.isHidden = isHidden
      super.init(instructionLength: 4)
    }

    override var resetInstruction: UInt64 { 0xE }
    override func register(for instruction: UInt64) -> any DataRegister {
      instruction == 0xE && !isHidden ? ValueRegister(0x5BA0_0477, length: 32) : BypassRegister()
    }
  }
}

/// The FPGA of a Cyclone V: 10 instruction bits; data come least significant bit first.
package final class CycloneVModel: TAPModel {
  private let idcode: UInt32
  private let expectedBytes: Int
  let sink = SinkRegister()
  package private(set) var isConfigured = false
  package private(set) var isUserMode = false
  package private(set) var complaints: [String] = []
  private var idleClocks = 0
  private let hertz: Int

  /// - Parameters:
  ///   - expectedBytes: the length of a whole bitstream; CONF_DONE comes with the last byte.
  ///   - hertz: of TCK, for the rules that are times.
  package init(idcode: UInt32, expectedBytes: Int, hertz: Int) {
    self.idcode = idcode
    self.expectedBytes = expectedBytes
    self.hertz = hertz
    super.init(instructionLength: 10)
  }

  override var resetInstruction: UInt64 { 0x006 }
  override var capturedInstruction: UInt64 { 0x155 }

  override func register(for instruction: UInt64) -> any DataRegister {
    switch instruction {
    case 0x006: return ValueRegister(UInt64(idcode), length: 32)
    case 0x002:
      if idleClocks < hertz / 1000 { complaints.append("data \(idleClocks) clocks after the instruction") }
      return sink
    case 0x004:
      isConfigured = sink.bitCount >= 8 * expectedBytes && sink.bytes.prefix(4) == [0xFF, 0xFF, 0xFF, 0xFF]
      let done = isConfigured
      return ValueRegister { (0..<1485).map { $0 == 19 && done } }
    default: return BypassRegister()
    }
  }

  override func updated(instruction: UInt64) {
    if instruction == 0x002 {
      isConfigured = false
      isUserMode = false
      sink.clear()
    }
    if instruction == 0x3FF, !isUserMode, isConfigured, idleClocks >= 41 * (hertz / 10_000) + 512 {
      isUserMode = true
    }
    idleClocks = 0
  }

  override func idled(_ clocks: Int) { idleClocks += clocks }

  package var received: (bytes: [UInt8], bitCount: Int) { (sink.bytes, sink.bitCount) }
}
