/// What every chip of FTDI has in common over USB: control requests of one port, and packets towards the host that each begin
/// with two bytes of modem status.
struct FTDIPort {
  let connection: USBConnection
  /// 1 for the first port (A), as `wIndex` names it; 0 for a chip with a single port of the old kind.
  let index: UInt16
  let outEndpoint: USBEndpoint
  let inEndpoint: USBEndpoint

  enum Request: UInt8 {
    case reset = 0x00
    case latencyTimer = 0x09
    case bitMode = 0x0B
  }

  enum Reset: UInt16 {
    case port = 0
    case receiveBuffer = 1
    case sendBuffer = 2
  }

  enum BitMode: UInt16 {
    case reset = 0
    case mpsse = 2
  }

  private static let statusBytes = 2

  init(_ connection: USBConnection, index: UInt16) throws(JTAGError) {
    self.connection = connection
    self.index = index
    outEndpoint = try connection.endpoint(isIn: false)
    inEndpoint = try connection.endpoint(isIn: true)
    guard inEndpoint.packetBytes > Self.statusBytes else {
      throw .cable(
        path: connection.device.path, reason: "its packets have only \(inEndpoint.packetBytes) bytes")
    }
  }

  func request(_ request: Request, value: UInt16) throws(JTAGError) {
    try connection.controlOut(USBRequest(request.rawValue, value: value, index: index))
  }

  func reset(_ what: Reset) throws(JTAGError) { try request(.reset, value: what.rawValue) }

  /// - Parameter outputs: the pins that the port drives, bit by bit.
  func setBitMode(_ mode: BitMode, outputs: UInt8) throws(JTAGError) {
    try request(.bitMode, value: mode.rawValue << 8 | UInt16(outputs))
  }

  func write(_ bytes: [UInt8]) throws(JTAGError) { try connection.write(bytes, to: outEndpoint.address) }

  /// Reads until `count` bytes have come, without the status bytes. The chip sends status alone while it has nothing else.
  ///
  /// - Returns: at least so many bytes.
  func read(_ count: Int) throws(JTAGError) -> [UInt8] {
    let bus = connection.bus
    let packet = inEndpoint.packetBytes
    let packets = (count + packet - Self.statusBytes - 1) / (packet - Self.statusBytes)
    var data: [UInt8] = []
    var deadline = bus.now + USBConnection.timeout
    while data.count < count {
      let received = try connection.read(packet * max(1, packets), from: inEndpoint.address)
      let before = data.count
      for start in stride(from: 0, to: received.count, by: packet) {
        data += received[start..<min(start + packet, received.count)].dropFirst(Self.statusBytes)
      }
      if data.count > before {
        deadline = bus.now + USBConnection.timeout
      } else if bus.now >= deadline {
        throw .usb(USBError("read \(count) bytes, \(data.count) came", connection.device.path, .timeout))
      }
    }
    return data
  }
}
