/// Configuration of the FPGA in a Zynq-7000 or Zynq UltraScale+ over JTAG (UG470 table 6-5, UG570 chapter 6).
struct XilinxConfiguration {
  let device: TargetDevice

  /// Codes of the FPGA's six instruction bits.
  private enum Instruction: UInt64 {
    case configIn = 0x05
    case program = 0x0B
    case start = 0x0C
    case bypass = 0x3F
  }

  /// What the instruction register captures.
  struct Status: Equatable {
    let bits: UInt64

    /// The start-up sequence is over.
    var isStarted: Bool { bits >> 2 & 1 == 1 }
    /// INIT_B: the memory is cleared, and no error was found.
    var isInit: Bool { bits >> 4 & 1 == 1 }
    var isDone: Bool { bits >> 5 & 1 == 1 }

    var description: String {
      "DONE=\(isDone ? 1 : 0) INIT_B=\(isInit ? 1 : 0) start-up \(isStarted ? "finished" : "not finished")"
    }
  }

  static let clearClocks = 120_000
  static let startClocks = 2000
  /// How often INIT_B is looked at; clearing takes some milliseconds.
  private static let clearPollsMax = 500
  private static let clearPollInterval = Duration.milliseconds(1)

  static func status(_ device: TargetDevice) throws(JTAGError) -> Status {
    Status(bits: try instruct(device, .bypass))
  }

  /// The other half of a Zynq UltraScale+'s instruction register, the processor's, gets ones: bypass.
  @discardableResult
  private static func instruct(_ device: TargetDevice, _ instruction: Instruction) throws(JTAGError) -> UInt64
  {
    let ones = (UInt64(1) << device.model.instructionLength) - 1
    return try device.instruct((ones & ~0x3F) | instruction.rawValue)
  }

  func load(
    _ image: ConfigurationImage, advance: (Int) throws(JTAGError) -> Void
  ) throws(JTAGError) -> Programmer.Report {
    try device.tap.reset()
    try Self.instruct(device, .program)
    try waitUntilCleared()
    try device.tap.idle(Self.clearClocks)
    try Self.instruct(device, .configIn)
    try device.stream(image.payload, transform: BitOrder.reverse, advance: advance)
    try Self.instruct(device, .start)
    try device.tap.idle(Self.startClocks)
    try device.tap.reset()
    let status = try Self.status(device)
    try device.tap.reset()
    try device.tap.cable.flush()
    guard status.isDone, status.isInit else {
      throw .notConfigured(device: device.model.name, status: status.description)
    }
    return Programmer.Report(
      device: device.model.name, bytes: image.payload.count, status: status.description, isConfirmed: true)
  }

  private func waitUntilCleared() throws(JTAGError) {
    for _ in 0..<Self.clearPollsMax {
      if try Self.status(device).isInit { return }
      try device.tap.idle(Self.clearPollInterval)
    }
    throw .notCleared(device: device.model.name)
  }
}

enum BitOrder {
  private static let reversed: [UInt8] = (UInt8.min...UInt8.max).map { byte in
    var byte = byte
    var result: UInt8 = 0
    for _ in 0..<8 {
      result = result << 1 | byte & 1
      byte >>= 1
    }
    return result
  }

  /// Turns the bits of each byte around: JTAG sends the lowest first, the device wants the highest.
  static func reverse(_ bytes: inout [UInt8]) {
    reversed.withUnsafeBufferPointer { table in
      for index in bytes.indices { bytes[index] = table[Int(bytes[index])] }
    }
  }
}
