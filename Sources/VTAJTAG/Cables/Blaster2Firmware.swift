/// Brings a USB-Blaster II to life: after power-up its processor (Cypress FX2LP) is empty, and takes a program over USB.
enum Blaster2Firmware {
  private static let loadRequest: UInt8 = 0xA0
  /// The processor stands still while bit 0 of this register is set.
  private static let controlRegister: UInt16 = 0xE600
  private static let pieceBytesMax = 64
  private static let waitMax = Duration.seconds(10)

  /// Loads the firmware and waits until the cable comes back with it.
  ///
  /// - Returns: the cable as it is then.
  static func load(
    _ firmware: IntelHex, into device: USBDevice, on bus: any USBBus
  ) throws(JTAGError) -> USBDevice {
    let connection = try USBConnection(opening: device, interface: 0, on: bus)
    defer { connection.close() }
    try write([1], to: controlRegister, connection)
    for piece in firmware.pieces {
      for start in stride(from: 0, to: piece.bytes.count, by: pieceBytesMax) {
        let part = piece.bytes[start..<min(start + pieceBytesMax, piece.bytes.count)]
        try write(Array(part), to: piece.address &+ UInt16(start), connection)
      }
    }
    do {
      try write([0], to: controlRegister, connection)
    } catch {
      // It may leave the bus before it has answered.
      if error.usbReason != .unplugged { throw error }
    }
    connection.close()
    let deadline = bus.now + waitMax
    let known = KnownCable.blaster2
    let found = try JTAGError.wrap { () throws(USBError) in
      try bus.wait(until: deadline) {
        $0.bus == device.bus && $0.ports == device.ports && known.matches($0)
      }
    }
    guard let found else {
      throw .cable(
        path: device.path,
        reason:
          "it took the firmware but did not come back as a USB-Blaster II within \(waitMax.components.seconds) s"
      )
    }
    return found
  }

  private static func write(
    _ bytes: [UInt8], to address: UInt16, _ connection: USBConnection
  ) throws(JTAGError) {
    try connection.controlOut(USBRequest(loadRequest, value: address), bytes)
  }
}
