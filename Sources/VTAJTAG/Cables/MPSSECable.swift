/// JTAG with the serial engine (MPSSE) of FTDI's FT2232, FT4232H and FT232H: ADBUS0 is TCK, 1 TDI, 2 TDO, 3 TMS.
///
/// Bytes and opcodes as in FTDI's application note 108.
package final class MPSSECable: JTAGCable {
  package let timing: CableTiming
  private let port: FTDIPort
  private let chip: FTDIChip
  private var commands: [UInt8] = []

  /// Queued commands that are sent without being asked for.
  private static let commandBytesMax = 1 << 15
  /// How long the chip waits for more before it sends; ours end with a command that sends at once.
  private static let latencyMilliseconds: UInt16 = 16
  /// Data of one shift command.
  private static let shiftBytesMax = 1 << 14

  private enum Opcode {
    /// TDI changes on the falling edge, least significant bit first.
    static let writeBytes: UInt8 = 0x19
    static let writeBits: UInt8 = 0x1B
    static let exchangeBytes: UInt8 = 0x39
    static let exchangeBits: UInt8 = 0x3B
    static let tms: UInt8 = 0x4B
    static let tmsExchange: UInt8 = 0x6B
    /// Added to the reading ones: TDO is sampled on the falling edge, half a clock later.
    static let lateSample: UInt8 = 0x04
    static let lowPins: UInt8 = 0x80
    static let highPins: UInt8 = 0x82
    static let loopbackOff: UInt8 = 0x85
    static let divisor: UInt8 = 0x86
    static let sendImmediate: UInt8 = 0x87
    static let fullClock: UInt8 = 0x8A
    static let clockBits: UInt8 = 0x8E
    static let clockBytes: UInt8 = 0x8F
    static let threePhaseOff: UInt8 = 0x8D
    static let adaptiveOff: UInt8 = 0x97
    /// No command has these; the engine says so, which shows that it listens.
    static let bad: [UInt8] = [0xAA, 0xAB]
    static let badAnswer: UInt8 = 0xFA
  }

  /// Above this rate TDO comes too late for the rising edge.
  private static let lateSampleHertz = 15_000_000
  private var sample: UInt8 { timing.clockHertz > Self.lateSampleHertz ? Opcode.lateSample : 0 }

  /// - Parameter hertz: TCK is the fastest that is not above.
  package init(
    _ connection: USBConnection, chip: FTDIChip, pins: FTDIPins, hertz: Int
  ) throws(JTAGError) {
    self.chip = chip
    port = try FTDIPort(connection, index: 1)
    let divisor = chip.divisor(hertz: hertz)
    timing = Self.timing(chip, hertz: hertz)
    try start()
    if chip.isHighSpeed { commands += [Opcode.fullClock, Opcode.adaptiveOff, Opcode.threePhaseOff] }
    commands += [Opcode.loopbackOff, Opcode.divisor, UInt8(divisor & 0xFF), UInt8(divisor >> 8)]
    commands += [Opcode.lowPins, pins.low, pins.lowOutputs]
    if chip.hasHighPins { commands += [Opcode.highPins, pins.high, pins.highOutputs] }
    try flush()
  }

  deinit { close() }

  static func timing(_ chip: FTDIChip, hertz: Int) -> CableTiming {
    CableTiming(
      clockHertz: chip.hertz(divisor: chip.divisor(hertz: hertz)), framePayload: shiftBytesMax,
      frameBytes: shiftBytesMax + 3,
      usbBytesPerSecond: chip.isHighSpeed ? CableTiming.highSpeed : CableTiming.fullSpeed)
  }

  /// Starts the engine from whatever state an earlier program left it in.
  private func start() throws(JTAGError) {
    try port.reset(.port)
    try port.setBitMode(.reset, outputs: 0)
    try port.reset(.receiveBuffer)
    try port.reset(.sendBuffer)
    try port.request(.latencyTimer, value: Self.latencyMilliseconds)
    try port.setBitMode(.mpsse, outputs: 0)
    for opcode in Opcode.bad {
      try port.write([opcode, Opcode.sendImmediate])
      let answer = try port.read(2)
      guard answer.suffix(2) == [Opcode.badAnswer, opcode] else {
        throw .cable(path: port.connection.device.path, reason: "its serial engine (MPSSE) does not answer")
      }
    }
  }

  /// Puts the port back into the mode it has after power-up, where it is a serial port.
  package func close() {
    commands = []
    try? port.setBitMode(.reset, outputs: 0)
    port.connection.close()
  }

  package func clockTMS(_ tms: BitString) throws(JTAGError) {
    var start = 0
    while start < tms.count {
      // Seven bits fit, but chips have been seen to get the seventh wrong.
      let count = min(6, tms.count - start)
      try queue([Opcode.tms, UInt8(count - 1), UInt8(tms.value(start..<start + count)) | 0x80])
      start += count
    }
  }

  package func write(_ bits: UnsafeRawBufferPointer, bitCount: Int, leaves: Bool) throws(JTAGError) {
    let plain = leaves ? bitCount - 1 : bitCount
    var start = 0
    while start < plain / 8 {
      let count = min(Self.shiftBytesMax, plain / 8 - start)
      try makeRoom(for: 3 + count)
      commands += [Opcode.writeBytes, UInt8((count - 1) & 0xFF), UInt8((count - 1) >> 8)]
      commands += bits[start..<start + count]
      start += count
    }
    if plain % 8 > 0 { try queue([Opcode.writeBits, UInt8(plain % 8 - 1), bits[plain / 8]]) }
    if leaves {
      let last = bits[plain / 8] >> (plain % 8) & 1
      try queue([Opcode.tms, 0, 0x01 | last << 7])
    }
  }

  package func exchange(_ bits: BitString, leaves: Bool) throws(JTAGError) -> BitString {
    var answer = BitString()
    let plain = leaves ? bits.count - 1 : bits.count
    var start = 0
    while start < plain / 8 {
      // The engine stops when nobody fetches what it read.
      let count = min(chip.readBufferBytes / 2, plain / 8 - start)
      try makeRoom(for: 4 + count)
      commands += [Opcode.exchangeBytes | sample, UInt8((count - 1) & 0xFF), UInt8((count - 1) >> 8)]
      commands += bits.bytes[start..<start + count]
      answer.append(BitString(bytes: try fetch(count), count: 8 * count))
      start += count
    }
    if plain % 8 > 0 {
      try queue([Opcode.exchangeBits | sample, UInt8(plain % 8 - 1), bits.bytes[plain / 8]])
      // Bits come in from the top.
      answer.append(UInt64(try fetch(1)[0] >> (8 - plain % 8)), count: plain % 8)
    }
    if leaves {
      try queue([Opcode.tmsExchange | sample, 0, 0x01 | (bits[plain] ? 0x80 : 0)])
      answer.append(try fetch(1)[0] & 0x80 != 0)
    }
    return answer
  }

  package func idle(_ clocks: Int) throws(JTAGError) {
    guard chip.isHighSpeed else {
      let zeros = [UInt8](repeating: 0, count: (clocks + 7) / 8)
      return try zeros.withUnsafeBytesTyped { (bytes) throws(JTAGError) in
        try write(bytes, bitCount: clocks, leaves: false)
      }
    }
    var octets = clocks / 8
    while octets > 0 {
      let count = min(1 << 16, octets)
      try queue([Opcode.clockBytes, UInt8((count - 1) & 0xFF), UInt8((count - 1) >> 8)])
      octets -= count
    }
    if clocks % 8 > 0 { try queue([Opcode.clockBits, UInt8(clocks % 8 - 1)]) }
  }

  package func flush() throws(JTAGError) {
    guard !commands.isEmpty else { return }
    let bytes = commands
    commands.removeAll(keepingCapacity: true)
    try port.write(bytes)
  }

  private func queue(_ command: [UInt8]) throws(JTAGError) {
    try makeRoom(for: command.count)
    commands += command
  }

  private func makeRoom(for count: Int) throws(JTAGError) {
    if commands.count + count > Self.commandBytesMax { try flush() }
  }

  /// Sends what is queued, and reads what its last command answers.
  private func fetch(_ count: Int) throws(JTAGError) -> [UInt8] {
    commands.append(Opcode.sendImmediate)
    try flush()
    let answer = try port.read(count)
    guard answer.count == count else {
      throw .cable(
        path: port.connection.device.path, reason: "it answered \(answer.count) bytes instead of \(count)")
    }
    return answer
  }
}
