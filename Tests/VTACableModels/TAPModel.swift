/// A test access port as IEEE 1149.1 describes it, and the registers behind it: what a cable under test really moves.
///
/// Written from the standard, not from `VTAJTAG`: the state machine is the table of figure 6-1, by number.
package class TAPModel {
  /// The states in the order of the standard's encoding (table 6-3).
  package enum State: Int {
    case exit2DR = 0x0
    case exit1DR = 0x1
    case shiftDR = 0x2
    case pauseDR = 0x3
    case selectIR = 0x4
    case updateDR = 0x5
    case captureDR = 0x6
    case selectDR = 0x7
    case exit2IR = 0x8
    case exit1IR = 0x9
    case shiftIR = 0xA
    case pauseIR = 0xB
    case runTestIdle = 0xC
    case updateIR = 0xD
    case captureIR = 0xE
    case testLogicReset = 0xF
  }

  /// Successors with TMS low and high, by state.
  private static let successors: [(Int, Int)] = [
    (0x2, 0x5), (0x3, 0x5), (0x2, 0x1), (0x3, 0x0), (0xE, 0xF), (0xC, 0x7), (0x2, 0x1), (0x6, 0x4),
    (0xA, 0xD), (0xB, 0xD), (0xA, 0x9), (0xB, 0x8), (0xC, 0x7), (0xC, 0x7), (0xA, 0x9), (0xC, 0xF),
  ]

  private static let states = (0..<16).compactMap(State.init(rawValue:))

  package private(set) var state = State.testLogicReset
  private(set) var instruction: UInt64
  let instructionLength: Int
  /// What leaves towards the next device; changes on the falling edge, and is pulled up while nothing shifts.
  private(set) var tdo = true
  private var shifter: UInt64 = 0
  private(set) var register: any DataRegister = BypassRegister()

  init(instructionLength: Int) {
    self.instructionLength = instructionLength
    instruction = 0
    instruction = resetInstruction
  }

  var ones: UInt64 { (1 << instructionLength) - 1 }
  /// IDCODE, or BYPASS for a device without.
  var resetInstruction: UInt64 { ones }
  /// Loaded in Capture-IR; the lowest bits are 01.
  var capturedInstruction: UInt64 { 0b01 }
  /// The register between TDI and TDO under an instruction; unknown instructions select the bypass.
  func register(for instruction: UInt64) -> any DataRegister { BypassRegister() }
  func updated(instruction: UInt64) {}
  func updatedDR(instruction: UInt64, register: any DataRegister) {}
  /// A clock in Run-Test/Idle.
  func idled(_ clocks: Int) {}
  func wasReset() {}

  func risingEdge(tms: Bool, tdi: Bool) {
    switch state {
    case .captureDR:
      register = register(for: instruction)
      register.capture()
    case .shiftDR: register.shift(tdi)
    case .captureIR: shifter = capturedInstruction
    case .shiftIR: shifter = (shifter >> 1) | (tdi ? 1 << (instructionLength - 1) : 0)
    case .runTestIdle: idled(1)
    default: break
    }
    let (low, high) = Self.successors[state.rawValue]
    state = Self.states[tms ? high : low]
  }

  func fallingEdge() {
    switch state {
    case .updateIR:
      instruction = shifter & ones
      updated(instruction: instruction)
    case .updateDR: updatedDR(instruction: instruction, register: register)
    case .testLogicReset:
      instruction = resetInstruction
      wasReset()
    default: break
    }
    switch state {
    case .shiftDR: tdo = register.output
    case .shiftIR: tdo = shifter & 1 == 1
    default: tdo = true
    }
  }

  /// Eight clocks with TMS low in Shift-DR, TCK low before and after; the same as eight edges of each kind.
  func shiftByte(_ tdi: UInt8) -> UInt8 {
    let out = register.shiftByte(tdi)
    tdo = register.output
    return out
  }
}

/// What lies between TDI and TDO in the data column.
package protocol DataRegister: AnyObject {
  func capture()
  func shift(_ tdi: Bool)
  /// The bit next to TDO.
  var output: Bool { get }
  /// Eight shifts.
  /// - Returns: the bits that were at the output before each.
  func shiftByte(_ tdi: UInt8) -> UInt8
}

extension DataRegister {
  func shiftByte(_ tdi: UInt8) -> UInt8 {
    var out: UInt8 = 0
    for bit in 0..<8 {
      if output { out |= 1 << bit }
      shift(tdi >> bit & 1 == 1)
    }
    return out
  }
}

final class BypassRegister: DataRegister {
  private var bit = false
  func capture() { bit = false }
  func shift(_ tdi: Bool) { bit = tdi }
  var output: Bool { bit }
  func shiftByte(_ tdi: UInt8) -> UInt8 {
    let out = tdi << 1 | (bit ? 1 : 0)
    bit = tdi >> 7 == 1
    return out
  }
}

/// A register of a fixed length that captures a value.
final class ValueRegister: DataRegister {
  private(set) var bits: [Bool]
  private let captured: () -> [Bool]

  init(_ captured: @escaping () -> [Bool]) {
    self.captured = captured
    bits = captured()
  }

  convenience init(_ value: UInt64, length: Int) {
    self.init { (0..<length).map { value >> $0 & 1 == 1 } }
  }

  func capture() { bits = captured() }
  func shift(_ tdi: Bool) {
    bits.removeFirst()
    bits.append(tdi)
  }
  var output: Bool { bits[0] }
  var value: UInt64 { bits.reversed().reduce(0) { $0 << 1 | ($1 ? 1 : 0) } }
}

/// Takes everything that is shifted in, in the order in which it comes.
final class SinkRegister: DataRegister {
  /// Bit 0 of byte 0 came first.
  private(set) var bytes: [UInt8] = []
  private(set) var bitCount = 0

  func capture() {}
  func shift(_ tdi: Bool) {
    if bitCount % 8 == 0 { bytes.append(0) }
    if tdi { bytes[bitCount / 8] |= 1 << (bitCount % 8) }
    bitCount += 1
  }
  var output: Bool { false }
  func shiftByte(_ tdi: UInt8) -> UInt8 {
    let offset = bitCount % 8
    if offset == 0 {
      bytes.append(tdi)
    } else {
      bytes[bytes.count - 1] |= tdi << offset
      bytes.append(tdi >> (8 - offset))
    }
    bitCount += 8
    return 0
  }
  func clear() {
    bytes = []
    bitCount = 0
  }
}
