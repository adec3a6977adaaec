package import VTAJTAG

/// A chip of FTDI with a serial engine, byte for byte: control requests, packets with modem status, the engine's commands, the
/// latency timer, and buffers that fill.
package final class FakeFTDI: FakeDevice {
  package enum Chip: CaseIterable, Sendable {
    case ft2232d
    case ft2232h
    case ft4232h
    case ft232h
  }

  package var device: USBDevice
  package let texts: [USBText: String]
  package var kernelDrivers: [Int: String] = [:]
  package let wires: JTAGWires
  private let chip: Chip

  private enum Mode {
    case serial
    case engine
  }

  package private(set) var isEngineOn = false
  private var latency = Duration.milliseconds(16)
  /// The pins as set by commands 80 and 82.
  package private(set) var lowPins: (value: UInt8, outputs: UInt8) = (0, 0)
  package private(set) var highPins: (value: UInt8, outputs: UInt8)?
  private var divisor = 0
  private var dividesByFive: Bool
  private var command: [UInt8] = []
  private var answers: [UInt8] = []
  private var mustSend = false
  private var firstAnswerWaits: Duration?
  /// Answers that only the latency timer sent.
  package private(set) var lateAnswers = 0
  package private(set) var badOpcodes: [UInt8] = []
  package private(set) var bytesReceived = 0
  package private(set) var transfers = 0
  /// Time that TCK ran.
  package private(set) var clockSeconds = 0.0

  package init(_ chip: Chip, wires: JTAGWires, texts: [USBText: String], ports: [UInt8] = [1]) {
    self.chip = chip
    self.wires = wires
    self.texts = texts
    dividesByFive = true
    let (product, release): (UInt16, UInt16) =
      switch chip {
      case .ft2232d: (0x6010, 0x0500)
      case .ft2232h: (0x6010, 0x0700)
      case .ft4232h: (0x6011, 0x0800)
      case .ft232h: (0x6014, 0x0900)
      }
    device = USBDevice(
      vendor: 0x0403, product: product, release: release, bus: 1, address: 7, ports: ports)
  }

  private var isFast: Bool { chip != .ft2232d }
  private var packet: Int { isFast ? 512 : 64 }
  private var readBuffer: Int {
    switch chip {
    case .ft2232d: 384
    case .ft2232h: 4096
    case .ft4232h: 2048
    case .ft232h: 1024
    }
  }
  package var hertz: Int { (isFast && !dividesByFive ? 60_000_000 : 12_000_000) / 2 / (divisor + 1) }

  package func endpoints(ofInterface interface: Int) -> [USBEndpoint]? {
    let count = chip == .ft232h ? 1 : chip == .ft4232h ? 4 : 2
    guard interface < count else { return nil }
    return [
      USBEndpoint(address: UInt8(0x81 + 2 * interface), packetBytes: packet),
      USBEndpoint(address: UInt8(0x02 + 2 * interface), packetBytes: packet),
    ]
  }

  package func controlOut(_ request: USBRequest, _ bytes: [UInt8]) -> Bool {
    // Only port A is played.
    guard request.index == 1, bytes.isEmpty else { return false }
    switch (request.request, request.value) {
    case (0x00, 0):
      command = []
      answers = []
    case (0x00, 1): answers = []
    case (0x00, 2): command = []
    case (0x09, 1...255): latency = .milliseconds(Int(request.value))
    case (0x0B, let value) where value >> 8 == 0:
      isEngineOn = false
      command = []
      answers = []
    case (0x0B, let value) where value >> 8 == 2:
      isEngineOn = true
      dividesByFive = true
      divisor = 0
      command = []
    default: return false
    }
    return true
  }

  /// The latency timer, which the kernel's driver asks for.
  package func controlIn(_ request: USBRequest, byteCount: Int) -> [UInt8]? {
    request.request == 0x0A ? [UInt8(latency / .milliseconds(1))] : nil
  }

  package var hasAnswer: Bool { !answers.isEmpty }

  package func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer) -> Int {
    precondition(endpoint == 0x02)
    transfers += 1
    guard isEngineOn else { return bytes.count }
    var index = 0
    while index < bytes.count {
      // The engine stops while its answers fill the buffer.
      if answers.count >= readBuffer { return index }
      index += take(bytes, from: index)
    }
    bytesReceived += bytes.count
    return bytes.count
  }

  package func bulkIn(_ endpoint: UInt8, byteCount: Int, now: Duration) -> [UInt8]? {
    precondition(endpoint == 0x81 && byteCount >= 2)
    var isDue = mustSend || answers.count >= packet - 2
    if !isDue, !answers.isEmpty {
      if let since = firstAnswerWaits {
        isDue = now - since >= latency
        if isDue { lateAnswers += 1 }
      } else {
        firstAnswerWaits = now
      }
    }
    var out: [UInt8] = []
    while out.count + 2 < byteCount {
      let data = isDue ? answers.prefix(min(packet - 2, byteCount - out.count - 2)) : []
      out += [0x32, 0x60] + data
      answers.removeFirst(data.count)
      if data.count < packet - 2 { break }
    }
    if answers.isEmpty {
      mustSend = false
      firstAnswerWaits = nil
    }
    return out
  }

  /// One byte of the stream of commands, or more of the data of one.
  ///
  /// - Returns: bytes taken.
  private func take(_ bytes: UnsafeRawBufferPointer, from index: Int) -> Int {
    // The data of a long shift go straight to the wires.
    if command.count == 3, command[0] & 0xD3 == 0x11, let left = dataLeft {
      let count = min(left, bytes.count - index)
      for offset in index..<index + count {
        let out = wires.shiftByte(bytes[offset])
        if command[0] & 0x20 != 0 { answers.append(out) }
      }
      run(clocks: 8 * count)
      dataLeft = left == count ? nil : left - count
      if left == count { command = [] }
      return count
    }
    command.append(bytes[index])
    interpret()
    return 1
  }

  private var dataLeft: Int?

  private func run(clocks: Int) { clockSeconds += Double(clocks) / Double(hertz) }

  private func interpret() {
    let opcode = command[0]
    if opcode & 0x80 == 0 {
      // Shifts. Only least significant bit first, TDI on the falling edge, is played; with bit 0 clear TDI would change on
      // the edge that devices sample.
      let isTMS = opcode & 0x40 != 0
      let isBits = opcode & 0x02 != 0
      let writes = opcode & 0x10 != 0
      guard opcode & 0x08 != 0, opcode & 0x01 != 0, isTMS ? isBits && !writes : writes else { return bad() }
      if isBits {
        guard command.count == 3 else { return }
        shiftBits(count: Int(command[1]) + 1, data: command[2], isTMS: isTMS, reads: opcode & 0x20 != 0)
        command = []
      } else if command.count == 3 {
        dataLeft = Int(command[1]) + Int(command[2]) << 8 + 1
      }
      return
    }
    let lengths: [UInt8: Int] = [
      0x80: 3, 0x82: 3, 0x84: 1, 0x85: 1, 0x86: 3, 0x87: 1, 0x8A: 1, 0x8B: 1, 0x8C: 1, 0x8D: 1, 0x8E: 2,
      0x8F: 3,
      0x96: 1, 0x97: 1,
    ]
    guard let length = lengths[opcode], isFast || opcode <= 0x87 else { return bad() }
    guard command.count == length else { return }
    defer { command = [] }
    let word = length == 3 ? Int(command[1]) | Int(command[2]) << 8 : 0
    switch opcode {
    case 0x80: lowPins = (command[1], command[2])
    case 0x82:
      if chip != .ft4232h { highPins = (command[1], command[2]) }
    case 0x86: divisor = word
    case 0x87: mustSend = !answers.isEmpty
    case 0x8A: dividesByFive = false
    case 0x8B: dividesByFive = true
    case 0x8E: idle(Int(command[1]) + 1)
    case 0x8F: idle(8 * (word + 1))
    default: break
    }
  }

  private var tms: Bool { lowPins.value & 0x08 != 0 }

  private func idle(_ clocks: Int) {
    precondition(!tms, "clocks without data while TMS is high")
    wires.idle(clocks)
    run(clocks: clocks)
  }

  private func shiftBits(count: Int, data: UInt8, isTMS: Bool, reads: Bool) {
    guard count <= (isTMS ? 7 : 8) else { return bad() }
    var answer: UInt8 = 0
    for bit in 0..<count {
      let level = data >> bit & 1 == 1
      if isTMS { lowPins.value = lowPins.value & ~0x08 | (level ? 0x08 : 0) }
      let out = wires.pulse(tms: isTMS ? level : tms, tdi: isTMS ? data & 0x80 != 0 : level)
      answer = answer >> 1 | (out ? 0x80 : 0)
    }
    if reads { answers.append(answer) }
    run(clocks: count)
  }

  private func bad() {
    badOpcodes.append(command[0])
    answers += [0xFA, command[0]]
    command = []
  }
}
