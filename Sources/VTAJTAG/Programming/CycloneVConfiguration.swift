/// Configuration of a Cyclone V over JTAG, as the vendor's SVF files do it (read in OpenOCD and openFPGALoader).
struct CycloneVConfiguration {
  let device: TargetDevice

  private enum Instruction: UInt64 {
    case program = 0x002
    case start = 0x003
    case checkStatus = 0x004
    case bypass = 0x3FF
  }

  static let prepareTime = Duration.milliseconds(1)
  static let checkTime = Duration.microseconds(5)
  static let startTime = Duration.microseconds(4100)
  static let startClocks = 512
  static let finishTime = Duration.milliseconds(1)

  func load(
    _ image: ConfigurationImage, advance: (Int) throws(JTAGError) -> Void
  ) throws(JTAGError) -> Programmer.Report {
    try device.tap.reset()
    try instruct(.program)
    try device.tap.idle(Self.prepareTime)
    try device.stream(image.payload, transform: { _ in }, advance: advance)
    try instruct(.checkStatus)
    try device.tap.idle(Self.checkTime)
    let done = try isDone()
    // Only a device that has taken everything may be started.
    if done == false { throw .notConfigured(device: device.model.name, status: "CONF_DONE=0") }
    try instruct(.start)
    try device.tap.idle(Self.startTime)
    try device.tap.idle(Self.startClocks)
    try instruct(.bypass)
    try device.tap.idle(Self.finishTime)
    try device.tap.reset()
    try device.tap.cable.flush()
    return Programmer.Report(
      device: device.model.name, bytes: image.payload.count,
      status: done == true ? "CONF_DONE=1" : "CONF_DONE not readable on this device",
      isConfirmed: done == true)
  }

  private func instruct(_ instruction: Instruction) throws(JTAGError) {
    try device.instruct(instruction.rawValue)
  }

  /// `nil` if nobody has said where the bit is.
  private func isDone() throws(JTAGError) -> Bool? {
    guard let status = device.model.status else { return nil }
    return try device.exchange(BitString(repeating: false, count: status.length))[status.position]
  }
}
