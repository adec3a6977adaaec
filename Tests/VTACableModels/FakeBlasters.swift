package import VTAJTAG

/// The logic of a USB-Blaster behind its USB chip: a byte at a time.
final class BlasterLogic {
  private let wires: JTAGWires
  private var shiftLeft = 0
  private var shiftReads = false
  private var pins: UInt8 = 0
  /// What TDO gave, for the USB chip to send.
  var answers: [UInt8] = []
  /// Where in its packet the next byte stands; a shift must not cross to the next.
  private var position = 0
  private(set) var complaints: [String] = []
  private(set) var isDriving = false

  static let packet = 64

  init(_ wires: JTAGWires) { self.wires = wires }

  /// The next byte begins a transfer.
  func beginTransfer() { position = 0 }

  func take(_ byte: UInt8) {
    defer { position += 1 }
    if shiftLeft > 0 {
      if position % Self.packet == 0 { complaints.append("a shift crosses the end of a packet") }
      shiftLeft -= 1
      let out = wires.shiftByte(byte)
      if shiftReads { answers.append(out) }
      return
    }
    if byte & 0x80 != 0 {
      shiftLeft = Int(byte & 0x3F)
      shiftReads = byte & 0x40 != 0
      // With TCK high the edges are the other way round; with TMS high the devices leave the shift state.
      if pins & 0x03 != 0 { complaints.append("a shift with TCK or TMS high") }
      return
    }
    isDriving = byte & 0x20 != 0
    pins = byte & 0x13
    let (tck, tms, tdi) = (byte & 0x01 != 0, byte & 0x02 != 0, byte & 0x10 != 0)
    if byte & 0x40 != 0 { answers.append(wires.tdo ? 1 : 0) }
    wires.set(tck: tck, tms: tms, tdi: tdi)
  }
}

/// A USB-Blaster of the first generation: a FT245 in front, whose packets begin with two bytes of status.
package final class FakeBlaster1: FakeDevice {
  package var device = USBDevice(
    vendor: 0x09FB, product: 0x6001, release: 0x0400, bus: 1, address: 8, ports: [2])
  package let texts: [USBText: String] = [
    .manufacturer: "Altera", .product: "USB-Blaster", .serial: "00000000",
  ]
  package var kernelDrivers: [Int: String] = [:]
  package let wires: JTAGWires
  private let logic: BlasterLogic
  private var latency = Duration.milliseconds(16)
  private var waitsSince: Duration?
  package private(set) var bytesReceived = 0
  package private(set) var transfers = 0

  private static let buffer = 128

  package init(wires: JTAGWires) {
    self.wires = wires
    logic = BlasterLogic(wires)
  }

  package var complaints: [String] { logic.complaints }
  package var isDriving: Bool { logic.isDriving }

  package func endpoints(ofInterface interface: Int) -> [USBEndpoint]? {
    guard interface == 0 else { return nil }
    return [USBEndpoint(address: 0x81, packetBytes: 64), USBEndpoint(address: 0x02, packetBytes: 64)]
  }

  package func controlOut(_ request: USBRequest, _ bytes: [UInt8]) -> Bool {
    switch (request.request, request.value) {
    case (0x00, 0), (0x00, 1): logic.answers = []
    case (0x00, 2): break
    case (0x09, 1...255): latency = .milliseconds(Int(request.value))
    default: return false
    }
    return true
  }

  package func controlIn(_ request: USBRequest, byteCount: Int) -> [UInt8]? { nil }
  package var hasAnswer: Bool { !logic.answers.isEmpty }

  package func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer) -> Int {
    precondition(endpoint == 0x02)
    transfers += 1
    logic.beginTransfer()
    for (index, byte) in bytes.enumerated() {
      if logic.answers.count >= Self.buffer { return index }
      logic.take(byte)
      bytesReceived += 1
    }
    return bytes.count
  }

  package func bulkIn(_ endpoint: UInt8, byteCount: Int, now: Duration) -> [UInt8]? {
    precondition(endpoint == 0x81 && byteCount >= 2)
    var isDue = logic.answers.count >= 62
    if !isDue, !logic.answers.isEmpty {
      let since = waitsSince ?? now
      waitsSince = since
      isDue = now - since >= latency
    }
    guard isDue else { return [0x31, 0x60] }
    waitsSince = nil
    let data = Array(logic.answers.prefix(min(62, byteCount - 2)))
    logic.answers.removeFirst(data.count)
    return [0x31, 0x60] + data
  }
}

/// A USB-Blaster II: empty after power-up, then with firmware; what was read waits until it is asked for.
package final class FakeBlaster2: FakeDevice {
  package var device: USBDevice
  package private(set) var texts: [USBText: String] = [:]
  package var kernelDrivers: [Int: String] = [:]
  package let wires: JTAGWires
  private let logic: BlasterLogic
  /// The bus on which it leaves and comes back.
  package weak var bus: FakeBus?
  /// Fails to start with a program other than this.
  private let firmware: [UInt16: UInt8]
  private var memory: [UInt16: UInt8] = [:]
  private var isHeld = false
  private var output: [UInt8] = []
  package private(set) var bytesReceived = 0
  package private(set) var transfers = 0

  package init(wires: JTAGWires, firmware: [UInt16: UInt8]? = nil) {
    self.wires = wires
    logic = BlasterLogic(wires)
    self.firmware = firmware ?? [:]
    device = USBDevice(
      vendor: 0x09FB, product: firmware == nil ? 0x6010 : 0x6810, release: 0, bus: 1, address: 9,
      ports: [3, 1])
    if firmware == nil { comeAlive() }
  }

  private func comeAlive() {
    device.product = 0x6010
    texts = [.manufacturer: "Altera", .product: "USB-Blaster(II)", .serial: "DE10NANO"]
  }

  private var isAlive: Bool { device.product == 0x6010 }
  package var complaints: [String] { logic.complaints }
  package var isDriving: Bool { logic.isDriving }

  package func endpoints(ofInterface interface: Int) -> [USBEndpoint]? {
    guard interface == 0 else { return nil }
    guard isAlive else { return [] }
    return [USBEndpoint(address: 0x04, packetBytes: 512), USBEndpoint(address: 0x88, packetBytes: 512)]
  }

  package func controlOut(_ request: USBRequest, _ bytes: [UInt8]) -> Bool {
    guard !isAlive, request.request == 0xA0, !bytes.isEmpty, bytes.count <= 64 else { return false }
    if request.value == 0xE600 {
      let wasHeld = isHeld
      isHeld = bytes[0] & 1 == 1
      if wasHeld, !isHeld { run() }
      return bytes.count == 1
    }
    guard isHeld else { return false }
    for (offset, byte) in bytes.enumerated() { memory[request.value &+ UInt16(offset)] = byte }
    return true
  }

  /// The processor starts: with the right program it leaves the bus and comes back as a cable.
  private func run() {
    guard memory == firmware, let bus else { return }
    bus.plugged.removeAll { $0 === self }
    var waits = 0
    bus.onWait = { [weak self, weak bus] in
      waits += 1
      guard let self, let bus, waits == 5 else { return }
      self.device.address += 1
      self.comeAlive()
      bus.plugged.append(self)
    }
  }

  package func controlIn(_ request: USBRequest, byteCount: Int) -> [UInt8]? {
    guard isAlive, request.request == 0x94 else { return nil }
    return Array("1.39\0".utf8.prefix(byteCount))
  }

  package func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer) -> Int {
    precondition(endpoint == 0x04)
    transfers += 1
    logic.beginTransfer()
    for byte in bytes {
      bytesReceived += 1
      takeByte(byte)
    }
    return bytes.count
  }

  private var shiftLeft = 0

  /// Finds the command among the bytes for the logic.
  private func takeByte(_ byte: UInt8) {
    if shiftLeft > 0 {
      shiftLeft -= 1
    } else if byte & 0x80 != 0 {
      shiftLeft = Int(byte & 0x3F)
    } else if byte == 0x5F {
      output += logic.answers
      logic.answers = []
      return
    }
    logic.take(byte)
  }

  package var hasAnswer: Bool { !output.isEmpty }

  package func bulkIn(_ endpoint: UInt8, byteCount: Int, now: Duration) -> [UInt8]? {
    precondition(endpoint == 0x88 && byteCount >= 512)
    guard !output.isEmpty else { return nil }
    let data = Array(output.prefix(byteCount))
    output.removeFirst(data.count)
    return data
  }
}
