/// What this library asks of USB: the one seam between it and what lies beneath, libusb (``LibUSBBus``) or cables that tests play.
///
/// Calls block, each for a bounded time, and come from one thread.
package protocol USBBus: AnyObject {
  /// All devices that are plugged in, without opening any.
  func devices() throws(USBError) -> [USBDevice]
  func open(_ device: USBDevice) throws(USBError) -> any USBHandle
  /// Returns when a device was plugged in or pulled out since the last call, at the deadline, and now and then.
  func waitForChange(until deadline: ContinuousClock.Instant) throws(USBError)

  var now: ContinuousClock.Instant { get }
  func sleep(_ duration: Duration)
}

extension USBBus {
  /// Waits until a device is there that `matches`.
  ///
  /// - Returns: `nil` if the deadline came first.
  package func wait(
    until deadline: ContinuousClock.Instant, for matches: (USBDevice) -> Bool
  ) throws(USBError) -> USBDevice? {
    while true {
      if let device = try devices().first(where: matches) { return device }
      if now >= deadline { return nil }
      try waitForChange(until: deadline)
    }
  }
}

/// An open device. Whoever opened it closes it; ``USBConnection`` does so by itself.
package protocol USBHandle: AnyObject {
  /// - Returns: `nil` if the device has no such text.
  func text(_ text: USBText) throws(USBError) -> String?
  func endpoints(ofInterface interface: Int) throws(USBError) -> [USBEndpoint]

  func hasKernelDriver(interface: Int) throws(USBError) -> Bool
  func detachKernelDriver(interface: Int) throws(USBError)
  func attachKernelDriver(interface: Int) throws(USBError)
  func claim(interface: Int) throws(USBError)
  func release(interface: Int) throws(USBError)

  func controlOut(_ request: USBRequest, _ bytes: [UInt8], timeout: Duration) throws(USBError)
  /// - Returns: at most `byteCount` bytes.
  func controlIn(_ request: USBRequest, byteCount: Int, timeout: Duration) throws(USBError) -> [UInt8]
  /// - Returns: bytes that the device took, perhaps fewer than given, never none.
  func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer, timeout: Duration) throws(USBError) -> Int
  /// - Returns: bytes read; 0 for an empty packet.
  func bulkIn(
    _ endpoint: UInt8, into buffer: UnsafeMutableRawBufferPointer, timeout: Duration
  ) throws(USBError) -> Int
  func clearHalt(_ endpoint: UInt8) throws(USBError)

  func close()
}

/// A device on the bus as its descriptor tells.
package struct USBDevice: Hashable, Sendable {
  package var vendor: UInt16
  package var product: UInt16
  /// `bcdDevice`.
  package var release: UInt16
  package var bus: UInt8
  package var address: UInt8
  /// Ports from the root hub on; the same after a device left and came back.
  package var ports: [UInt8]

  package init(
    vendor: UInt16, product: UInt16, release: UInt16, bus: UInt8, address: UInt8, ports: [UInt8]
  ) {
    self.vendor = vendor
    self.product = product
    self.release = release
    self.bus = bus
    self.address = address
    self.ports = ports
  }

  /// `1-4.2`: bus and ports, as the kernel names the place.
  package var path: String {
    ports.isEmpty ? "usb\(bus)" : "\(bus)-\(ports.map(String.init).joined(separator: "."))"
  }
}

package enum USBText: CaseIterable, Sendable {
  case manufacturer
  case product
  case serial
}

package struct USBEndpoint: Equatable, Sendable {
  /// Bit 7: towards the host.
  package var address: UInt8
  /// `wMaxPacketSize`.
  package var packetBytes: Int

  package init(address: UInt8, packetBytes: Int) {
    self.address = address
    self.packetBytes = packetBytes
  }

  package var isIn: Bool { address & 0x80 != 0 }
}

/// A vendor request to the device (`bmRequestType` 0x40 or 0xC0).
package struct USBRequest: Equatable, Sendable {
  package var request: UInt8
  package var value: UInt16
  package var index: UInt16

  package init(_ request: UInt8, value: UInt16, index: UInt16 = 0) {
    self.request = request
    self.value = value
    self.index = index
  }
}

/// A call that USB refused.
package struct USBError: Error, Equatable, CustomStringConvertible {
  package enum Reason: Equatable, Sendable {
    case noPermission
    /// Another program has it.
    case busy
    case unplugged
    case timeout
    /// The device refused the request.
    case stalled
    case notFound
    /// libusb's own words.
    case other(String)
  }

  /// `open`, `bulk write` …
  package var operation: String
  /// The path of the device.
  package var device: String
  package var reason: Reason

  package init(_ operation: String, _ device: String, _ reason: Reason) {
    self.operation = operation
    self.device = device
    self.reason = reason
  }

  package var description: String { "USB \(device): \(operation): \(problem); \(remedy)" }

  package var problem: String {
    switch reason {
    case .noPermission: "no permission"
    case .busy: "another program uses it"
    case .unplugged: "the device was unplugged"
    case .timeout: "the device did not answer in time"
    case .stalled: "the device refused the request"
    case .notFound: "there is no such device or interface"
    case .other(let text): text
    }
  }

  package var remedy: String {
    switch reason {
    case .noPermission: "install udev/71-vta-jtag.rules and plug the cable in again"
    case .busy: "close that program (a vendor's JTAG server, for instance)"
    case .unplugged: "plug it in and start again"
    case .timeout: "plug the cable in again, check the board's power"
    case .stalled, .other: "plug it in again"
    case .notFound: "see vtactl jtag scan"
    }
  }
}
