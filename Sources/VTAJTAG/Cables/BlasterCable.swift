/// JTAG with Altera's USB-Blaster, of either generation: one byte sets the pins once, or a header is followed by bytes that are
/// shifted out. What carries the bytes differs (``BlasterLink``).
///
/// The protocol is known from reverse engineering (Kolja Waschk's, as OpenOCD and openFPGALoader describe it).
package final class BlasterCable: JTAGCable {
  package let timing: CableTiming
  private let link: any BlasterLink
  private var commands: [UInt8] = []
  /// TMS as the pins have it.
  private var tms = false

  /// A shift's header and its bytes stand in one packet of this size.
  static let packetBytes = 64
  /// Bytes after one header.
  static let shiftBytesMax = 63
  private static let commandBytesMax = 1 << 12

  private enum Pin {
    static let tck: UInt8 = 0x01
    static let tms: UInt8 = 0x02
    static let tdi: UInt8 = 0x10
    /// nCE and nCS high, the drivers (and the lamp) on.
    static let idle: UInt8 = 0x2C
    /// TDO is wanted.
    static let read: UInt8 = 0x40
    static let shift: UInt8 = 0x80
  }

  package init(_ link: any BlasterLink) throws(JTAGError) {
    self.link = link
    timing = link.timing
    try discardLeftovers()
  }

  deinit { close() }

  /// A program that was stopped may have left a shift half sent: these bytes end it, and do nothing otherwise.
  private func discardLeftovers() throws(JTAGError) {
    commands = [UInt8](repeating: Pin.idle, count: Self.packetBytes)
    try flush()
    try link.discardInput()
  }

  /// Switches the drivers off, so that the pins float.
  package func close() {
    commands = [Pin.idle & ~0x20]
    try? flush()
    link.close()
  }

  package func clockTMS(_ tms: BitString) throws(JTAGError) {
    for index in 0..<tms.count { try clock(tms: tms[index], tdi: true) }
    try settle()
  }

  package func write(_ bits: UnsafeRawBufferPointer, bitCount: Int, leaves: Bool) throws(JTAGError) {
    let plain = leaves ? bitCount - 1 : bitCount
    var start = 0
    while start < plain / 8 {
      let count = try makeRoom(forShiftOf: plain / 8 - start)
      commands.append(Pin.shift | UInt8(count))
      commands += bits[start..<start + count]
      start += count
    }
    for index in 8 * start..<bitCount {
      let tdi = bits[index / 8] >> (index % 8) & 1 == 1
      try clock(tms: leaves && index == plain, tdi: tdi)
    }
    try settle()
  }

  package func exchange(_ bits: BitString, leaves: Bool) throws(JTAGError) -> BitString {
    var answer = BitString()
    let plain = leaves ? bits.count - 1 : bits.count
    var start = 0
    while start < plain / 8 {
      let count = try makeRoom(forShiftOf: plain / 8 - start)
      commands.append(Pin.shift | Pin.read | UInt8(count))
      commands += bits.bytes[start..<start + count]
      start += count
      answer.append(BitString(bytes: try fetch(count), count: 8 * count))
    }
    let first = 8 * start
    for index in first..<bits.count {
      try clock(tms: leaves && index == plain, tdi: bits[index], read: true)
    }
    try settle()
    for byte in try fetch(bits.count - first) { answer.append(byte & 1 == 1) }
    return answer
  }

  package func idle(_ clocks: Int) throws(JTAGError) {
    if tms { try set(tms: false, tdi: false) }
    let zeros = [UInt8](repeating: 0, count: Self.packetBytes * 63)
    var left = clocks
    while left > 0 {
      let count = min(left, 8 * zeros.count)
      try zeros.withUnsafeBytesTyped { (bytes) throws(JTAGError) in
        try write(bytes, bitCount: count, leaves: false)
      }
      left -= count
    }
  }

  package func flush() throws(JTAGError) {
    guard !commands.isEmpty else { return }
    let bytes = commands
    commands.removeAll(keepingCapacity: true)
    try link.write(bytes)
  }

  private func clock(tms: Bool, tdi: Bool, read: Bool = false) throws(JTAGError) {
    try set(tms: tms, tdi: tdi)
    commands.append((commands.last ?? Pin.idle) | Pin.tck | (read ? Pin.read : 0))
  }

  /// Sets the pins with TCK low. Room for the byte that raises TCK stays in the same transfer.
  private func set(tms: Bool, tdi: Bool) throws(JTAGError) {
    if commands.count + 2 > Self.commandBytesMax { try flush() }
    self.tms = tms
    commands.append(Pin.idle | (tms ? Pin.tms : 0) | (tdi ? Pin.tdi : 0))
  }

  /// TCK low, as a shift needs it, and as the pins shall stay.
  private func settle() throws(JTAGError) { try set(tms: tms, tdi: false) }

  /// Makes room for a header and at least one byte in the packet that is being filled.
  ///
  /// - Returns: the number of bytes for which there is room, not above `wanted`.
  private func makeRoom(forShiftOf wanted: Int) throws(JTAGError) -> Int {
    if Self.packetBytes - commands.count % Self.packetBytes < 2 { try settle() }
    if commands.count >= Self.commandBytesMax { try flush() }
    return min(wanted, Self.packetBytes - commands.count % Self.packetBytes - 1)
  }

  /// Sends what is queued, and reads what it answers.
  private func fetch(_ count: Int) throws(JTAGError) -> [UInt8] {
    guard count > 0 else { return [] }
    commands += link.readCommand
    try flush()
    return try link.read(count)
  }
}

/// What carries the bytes of a USB-Blaster.
package protocol BlasterLink: AnyObject {
  var timing: CableTiming { get }
  /// Sent after commands whose answer will be read.
  var readCommand: [UInt8] { get }
  func write(_ bytes: [UInt8]) throws(JTAGError)
  /// Exactly so many bytes.
  func read(_ count: Int) throws(JTAGError) -> [UInt8]
  /// Drops what an earlier program did not fetch.
  func discardInput() throws(JTAGError)
  func close()
}

/// The first USB-Blaster: a FT245 of FTDI in front of the logic.
package final class Blaster1Link: BlasterLink {
  static let timing = CableTiming(
    clockHertz: 24_000_000, framePayload: BlasterCable.shiftBytesMax, frameBytes: BlasterCable.packetBytes,
    usbBytesPerSecond: CableTiming.fullSpeed)
  package var timing: CableTiming { Self.timing }
  package let readCommand: [UInt8] = []
  private let port: FTDIPort

  private static let latencyMilliseconds: UInt16 = 2

  package init(_ connection: USBConnection) throws(JTAGError) {
    port = try FTDIPort(connection, index: 0)
    try port.reset(.port)
    try port.request(.latencyTimer, value: Self.latencyMilliseconds)
  }

  package func write(_ bytes: [UInt8]) throws(JTAGError) { try port.write(bytes) }
  package func read(_ count: Int) throws(JTAGError) -> [UInt8] {
    let data = try port.read(count)
    guard data.count == count else {
      throw .cable(
        path: port.connection.device.path, reason: "it answered \(data.count) bytes instead of \(count)")
    }
    return data
  }
  package func discardInput() throws(JTAGError) { try port.reset(.receiveBuffer) }
  package func close() { port.connection.close() }
}

/// The second USB-Blaster: a Cypress FX2LP with firmware in front of the logic.
package final class Blaster2Link: BlasterLink {
  static let timing = CableTiming(
    clockHertz: 24_000_000, framePayload: BlasterCable.shiftBytesMax, frameBytes: BlasterCable.packetBytes,
    usbBytesPerSecond: CableTiming.highSpeed)
  package var timing: CableTiming { Self.timing }
  /// What was read waits in the cable until this asks for it.
  package let readCommand: [UInt8] = [0x5F]
  /// As the firmware says it.
  package let revision: String
  private let connection: USBConnection
  private let outEndpoint: UInt8 = 0x04
  private let inEndpoint: USBEndpoint

  private static let readRevision = USBRequest(0x94, value: 0)
  private static let revisionBytes = 5

  package init(_ connection: USBConnection) throws(JTAGError) {
    self.connection = connection
    guard connection.endpoints.contains(where: { $0.address == 0x04 }),
      let inEndpoint = connection.endpoints.first(where: { $0.address == 0x88 }), inEndpoint.packetBytes > 0
    else {
      throw .cable(path: connection.device.path, reason: "it has not the endpoints of a USB-Blaster II")
    }
    self.inEndpoint = inEndpoint
    let revision = try connection.controlIn(Self.readRevision, byteCount: Self.revisionBytes)
    self.revision = String(decoding: revision.prefix { $0 != 0 }, as: UTF8.self)
  }

  package func write(_ bytes: [UInt8]) throws(JTAGError) { try connection.write(bytes, to: outEndpoint) }

  package func read(_ count: Int) throws(JTAGError) -> [UInt8] {
    var data: [UInt8] = []
    let deadline = connection.bus.now + USBConnection.timeout
    while data.count < count {
      data += try readPacket()
      if data.count < count, connection.bus.now >= deadline {
        throw .usb(USBError("read \(count) bytes, \(data.count) came", connection.device.path, .timeout))
      }
    }
    guard data.count == count else {
      throw .cable(
        path: connection.device.path, reason: "it answered \(data.count) bytes instead of \(count)")
    }
    return data
  }

  private func readPacket() throws(JTAGError) -> [UInt8] {
    try connection.read(inEndpoint.packetBytes, from: inEndpoint.address)
  }

  /// Asks for whatever waits, and drops it.
  package func discardInput() throws(JTAGError) {
    try write(readCommand)
    do {
      while try !readPacket().isEmpty {}
    } catch {
      if error.usbReason != .timeout { throw error }
    }
  }

  package func close() { connection.close() }
}
