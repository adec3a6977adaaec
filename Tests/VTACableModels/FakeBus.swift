package import VTAJTAG

/// A device that tests play, as the bus beneath ``VTAJTAG`` sees it.
package protocol FakeDevice: AnyObject {
  var device: USBDevice { get set }
  var texts: [USBText: String] { get }
  func endpoints(ofInterface interface: Int) -> [USBEndpoint]?
  /// By interface.
  var kernelDrivers: [Int: String] { get set }

  /// - Returns: `false` to stall.
  func controlOut(_ request: USBRequest, _ bytes: [UInt8]) -> Bool
  /// - Returns: `nil` to stall.
  func controlIn(_ request: USBRequest, byteCount: Int) -> [UInt8]?
  /// - Returns: bytes taken; 0 while the device is full.
  func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer) -> Int
  /// Whether a transfer towards the host would bring more than status.
  var hasAnswer: Bool { get }
  /// - Returns: `nil` while the device has nothing.
  func bulkIn(_ endpoint: UInt8, byteCount: Int, now: Duration) -> [UInt8]?
}

/// A bus with played devices, a clock of its own, and faults on demand. Counts what is open.
package final class FakeBus: USBBus {
  package enum Fault: CaseIterable, Sendable {
    case unplug
    case stall
    case timeout
    /// A part of the transfer goes over, without error.
    case short
    case noPermission
  }

  package var plugged: [any FakeDevice] = []
  package var time = Duration.zero
  /// Strikes at the n-th call that moves data or opens something, counted from 0.
  package var fault: (Fault, at: Int)?
  package private(set) var calls = 0
  package private(set) var faultStruck = false

  package private(set) var openHandles = 0
  /// Handles that were closed while their interface was claimed, or its driver not given back.
  fileprivate(set) var leaks = 0
  /// Nothing is held any more.
  package var isClean: Bool { openHandles == 0 && leaks == 0 }

  private let start = ContinuousClock.now
  /// Runs when somebody waits for a change.
  package var onWait: (() -> Void)?

  package init(_ plugged: [any FakeDevice] = []) { self.plugged = plugged }

  package func devices() throws(USBError) -> [USBDevice] { plugged.map(\.device) }

  package func open(_ device: USBDevice) throws(USBError) -> any USBHandle {
    try strike("open", device)
    guard let fake = plugged.first(where: { $0.device == device }) else {
      throw USBError("open", device.path, .unplugged)
    }
    openHandles += 1
    return FakeHandle(fake, self)
  }

  package func waitForChange(until deadline: ContinuousClock.Instant) throws(USBError) {
    time += .milliseconds(100)
    onWait?()
  }

  package var now: ContinuousClock.Instant { start + time }
  package func sleep(_ duration: Duration) { time += duration }

  fileprivate func closed() { openHandles -= 1 }

  /// - Returns: whether the transfer shall be short.
  @discardableResult
  fileprivate func strike(_ operation: String, _ device: USBDevice) throws(USBError) -> Bool {
    defer { calls += 1 }
    guard let fault, calls == fault.at else { return false }
    faultStruck = true
    switch fault.0 {
    case .unplug:
      plugged.removeAll { $0.device == device }
      throw USBError(operation, device.path, .unplugged)
    case .stall: throw USBError(operation, device.path, .stalled)
    case .timeout:
      time += .seconds(1)
      throw USBError(operation, device.path, .timeout)
    case .noPermission: throw USBError(operation, device.path, .noPermission)
    case .short: return true
    }
  }
}

private final class FakeHandle: USBHandle {
  private let fake: any FakeDevice
  private let bus: FakeBus
  private var isOpen = true
  private var claimed: Set<Int> = []
  /// The drivers that were detached and have not been given back.
  private var detached: [Int: String] = [:]

  init(_ fake: any FakeDevice, _ bus: FakeBus) {
    self.fake = fake
    self.bus = bus
  }

  private var isPlugged: Bool { bus.plugged.contains { $0 === fake } }

  private func check(_ operation: String) throws(USBError) {
    precondition(isOpen, "\(operation) on a closed handle")
    guard isPlugged else { throw USBError(operation, fake.device.path, .unplugged) }
  }

  func close() {
    guard isOpen else { return }
    isOpen = false
    if isPlugged, !claimed.isEmpty || !detached.isEmpty { bus.leaks += 1 }
    bus.closed()
  }

  func text(_ text: USBText) throws(USBError) -> String? {
    try check("read text")
    try bus.strike("read text", fake.device)
    return fake.texts[text]
  }

  func endpoints(ofInterface interface: Int) throws(USBError) -> [USBEndpoint] {
    try check("read configuration")
    guard let endpoints = fake.endpoints(ofInterface: interface) else {
      throw USBError("read configuration", fake.device.path, .notFound)
    }
    return endpoints
  }

  func hasKernelDriver(interface: Int) throws(USBError) -> Bool {
    try check("ask for the kernel's driver")
    return fake.kernelDrivers[interface] != nil
  }

  func detachKernelDriver(interface: Int) throws(USBError) {
    try check("detach")
    try bus.strike("detach", fake.device)
    detached[interface] = fake.kernelDrivers.removeValue(forKey: interface)
  }

  func attachKernelDriver(interface: Int) throws(USBError) {
    try check("attach")
    precondition(!claimed.contains(interface), "a driver is given back after the interface was released")
    fake.kernelDrivers[interface] = detached.removeValue(forKey: interface)
  }

  func claim(interface: Int) throws(USBError) {
    try check("claim")
    try bus.strike("claim", fake.device)
    if fake.kernelDrivers[interface] != nil { throw USBError("claim", fake.device.path, .busy) }
    claimed.insert(interface)
  }

  func release(interface: Int) throws(USBError) {
    try check("release")
    precondition(claimed.remove(interface) != nil)
  }

  func controlOut(_ request: USBRequest, _ bytes: [UInt8], timeout: Duration) throws(USBError) {
    try check("control request")
    try bus.strike("control request", fake.device)
    guard fake.controlOut(request, bytes) else {
      throw USBError("control request", fake.device.path, .stalled)
    }
    // What it does may take it off the bus.
    guard isPlugged else { throw USBError("control request", fake.device.path, .unplugged) }
  }

  func controlIn(_ request: USBRequest, byteCount: Int, timeout: Duration) throws(USBError) -> [UInt8] {
    try check("control request")
    let isShort = try bus.strike("control request", fake.device)
    guard let bytes = fake.controlIn(request, byteCount: byteCount) else {
      throw USBError("control request", fake.device.path, .stalled)
    }
    return isShort ? Array(bytes.dropLast()) : bytes
  }

  func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer, timeout: Duration) throws(USBError) -> Int
  {
    try check("bulk write")
    precondition(!claimed.isEmpty && !bytes.isEmpty)
    let isShort = try bus.strike("bulk write", fake.device)
    let part = isShort ? UnsafeRawBufferPointer(rebasing: bytes.prefix(max(1, bytes.count / 2))) : bytes
    let count = fake.bulkOut(endpoint, part)
    if count == 0 {
      bus.time += timeout
      throw USBError("bulk write", fake.device.path, .timeout)
    }
    return count
  }

  func bulkIn(
    _ endpoint: UInt8, into buffer: UnsafeMutableRawBufferPointer, timeout: Duration
  ) throws(USBError) -> Int {
    try check("bulk read")
    precondition(!claimed.isEmpty)
    let isShort = try bus.strike("bulk read", fake.device)
    // A short read ends after a packet, or with what there is.
    let packet = fake.endpoints(ofInterface: 0)?.first { $0.address == endpoint }?.packetBytes ?? 64
    let count = isShort ? min(packet, buffer.count) : buffer.count
    guard let bytes = fake.bulkIn(endpoint, byteCount: count, now: bus.time) else {
      bus.time += timeout
      throw USBError("bulk read", fake.device.path, .timeout)
    }
    precondition(bytes.count <= buffer.count, "overflow: babble on the bus")
    buffer.copyBytes(from: bytes)
    // A frame of the bus.
    bus.time += .milliseconds(1)
    return bytes.count
  }

  func clearHalt(_ endpoint: UInt8) throws(USBError) { try check("clear halt") }
}
