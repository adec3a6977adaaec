/// A cable between USB and the four wires of JTAG. Commands are queued; ``exchange(_:leaves:)`` and ``flush()`` send them.
///
/// After each command TCK is low. TMS is high on the last bit of what `leaves` the shift state, else low.
package protocol JTAGCable: AnyObject {
  var timing: CableTiming { get }
  /// One clock per bit, TDI high.
  func clockTMS(_ tms: BitString) throws(JTAGError)
  /// One clock per bit of TDI; what comes back is dropped.
  func write(_ bits: UnsafeRawBufferPointer, bitCount: Int, leaves: Bool) throws(JTAGError)
  /// One clock per bit of TDI.
  ///
  /// - Returns: TDO at each rising edge.
  func exchange(_ bits: BitString, leaves: Bool) throws(JTAGError) -> BitString
  /// Clocks with TMS low.
  func idle(_ clocks: Int) throws(JTAGError)
  func flush() throws(JTAGError)
  /// Gives the pins and the device back; also the end of the object does.
  func close()
}

/// How fast a cable is.
package struct CableTiming: Equatable, Sendable {
  /// The fastest that TCK can be; waits count clocks of this rate.
  package var clockHertz: Int
  /// Payload bytes in a frame of the cable's protocol, and bytes that the frame takes on USB.
  package var framePayload: Int
  package var frameBytes: Int
  /// What the bus carries, at best.
  package var usbBytesPerSecond: Int

  package init(clockHertz: Int, framePayload: Int, frameBytes: Int, usbBytesPerSecond: Int) {
    self.clockHertz = clockHertz
    self.framePayload = framePayload
    self.frameBytes = frameBytes
    self.usbBytesPerSecond = usbBytesPerSecond
  }

  /// Full speed: 19 packets of 64 bytes a millisecond.
  static let fullSpeed = 1_216_000
  /// High speed: 13 packets of 512 bytes a microframe at most; host controllers reach about 8.
  static let highSpeed = 8 * 512 * 8000

  /// The cables that are told apart by their speed.
  ///
  /// - Parameter hertz: what TCK of those shall be that can choose it.
  package static func named(hertz: Int) -> [(name: String, timing: CableTiming)] {
    let chips = FTDIChip.all.filter(\.isHighSpeed).prefix(1)
    return chips.map { ("FTDI high speed", MPSSECable.timing($0, hertz: hertz)) } + [
      ("USB-Blaster II", Blaster2Link.timing), ("USB-Blaster", Blaster1Link.timing),
    ]
  }

  package func clocks(in duration: Duration) -> Int {
    let parts = duration.components
    let nanoseconds = parts.seconds * 1_000_000_000 + parts.attoseconds / 1_000_000_000
    return Int((nanoseconds * Int64(clockHertz) + 999_999_999) / 1_000_000_000)
  }
}
