private import CLibUSB
private import Synchronization

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// USB through libusb-1.0.
///
/// A session of libusb learns of changes from udev alone. Where that doesn't run, a session's list stays what it was; so each
/// look at the bus is a session of its own, and hot-plug events only shorten the waiting.
package final class LibUSBBus: USBBus {
  /// Listens.
  private let session: Session
  private let changes: Changes
  private var hotplug: libusb_hotplug_callback_handle?
  private var changesSeen = 0

  /// Devices that came or went.
  private final class Changes: Sendable {
    let count = Atomic<Int>(0)
  }

  /// How often the bus is looked at without an event.
  private static let pollInterval = Duration.milliseconds(200)

  package init() throws(USBError) {
    session = try Session()
    changes = Changes()
    if libusb_has_capability(UInt32(LIBUSB_CAP_HAS_HOTPLUG.rawValue)) != 0 { registerHotplug() }
  }

  deinit {
    if let hotplug { libusb_hotplug_deregister_callback(session.context, hotplug) }
  }

  private func registerHotplug() {
    var handle: libusb_hotplug_callback_handle = 0
    let events =
      LIBUSB_HOTPLUG_EVENT_DEVICE_ARRIVED.rawValue | LIBUSB_HOTPLUG_EVENT_DEVICE_LEFT.rawValue
    // SAFETY: the callback is deregistered before `changes` ends.
    let code = libusb_hotplug_register_callback(
      session.context, CInt(events), 0, LIBUSB_HOTPLUG_MATCH_ANY, LIBUSB_HOTPLUG_MATCH_ANY,
      LIBUSB_HOTPLUG_MATCH_ANY,
      { _, _, _, data in
        guard let data else { return 0 }
        Unmanaged<Changes>.fromOpaque(data).takeUnretainedValue().count.wrappingAdd(1, ordering: .relaxed)
        return 0
      },
      Unmanaged.passUnretained(changes).toOpaque(), &handle)
    if code == 0 { hotplug = handle }
  }

  package func devices() throws(USBError) -> [USBDevice] {
    try Session().withDevices { $0.map(\.device) }
  }

  package func open(_ device: USBDevice) throws(USBError) -> any USBHandle {
    let session = try Session()
    var handle: OpaquePointer?
    let code: CInt = try session.withDevices { all in
      guard let match = all.first(where: { $0.device == device }) else {
        return LIBUSB_ERROR_NO_DEVICE.rawValue
      }
      return libusb_open(match.reference, &handle)
    }
    guard code == 0, let handle else { throw USBError("open", device.path, .init(code)) }
    return LibUSBHandle(handle, device, session)
  }

  package func waitForChange(until deadline: ContinuousClock.Instant) throws(USBError) {
    let end = min(deadline, now + Self.pollInterval)
    guard hotplug != nil else { return sleep(max(.zero, end - now)) }
    while changes.count.load(ordering: .relaxed) == changesSeen, now < end {
      let left = max(.zero, end - now).components
      var timeout = timeval(tv_sec: 0, tv_usec: Int(left.attoseconds / 1_000_000_000_000))
      let code = libusb_handle_events_timeout_completed(session.context, &timeout, nil)
      guard code == 0 || code == LIBUSB_ERROR_INTERRUPTED.rawValue else {
        throw USBError("wait for devices", "bus", .init(code))
      }
    }
    changesSeen = changes.count.load(ordering: .relaxed)
  }

  package var now: ContinuousClock.Instant { .now }

  package func sleep(_ duration: Duration) {
    let parts = duration.components
    var time = timespec(tv_sec: time_t(parts.seconds), tv_nsec: Int(parts.attoseconds / 1_000_000_000))
    var left = timespec()
    while nanosleep(&time, &left) != 0, errno == EINTR { time = left }
  }
}

/// A session of libusb, which ends when nobody refers to it any more.
private final class Session {
  let context: OpaquePointer

  init() throws(USBError) {
    var context: OpaquePointer?
    let code = libusb_init(&context)
    guard code == 0, let context else { throw USBError("libusb_init", "bus", .init(code)) }
    self.context = context
  }

  deinit { libusb_exit(context) }

  func withDevices<Value>(
    _ body: ([(device: USBDevice, reference: OpaquePointer)]) -> Value
  ) throws(USBError) -> Value {
    var list: UnsafeMutablePointer<OpaquePointer?>?
    let count = libusb_get_device_list(context, &list)
    guard count >= 0, let list else { throw USBError("list", "bus", .init(CInt(clamping: count))) }
    defer { libusb_free_device_list(list, 1) }
    return body(
      (0..<count).compactMap { index in
        list[index].flatMap { reference in Self.describe(reference).map { ($0, reference) } }
      })
  }

  private static func describe(_ device: OpaquePointer) -> USBDevice? {
    var descriptor = libusb_device_descriptor()
    guard libusb_get_device_descriptor(device, &descriptor) == 0 else { return nil }
    var ports = [UInt8](repeating: 0, count: 7)
    let count = libusb_get_port_numbers(device, &ports, CInt(ports.count))
    return USBDevice(
      vendor: descriptor.idVendor, product: descriptor.idProduct, release: descriptor.bcdDevice,
      bus: libusb_get_bus_number(device), address: libusb_get_device_address(device),
      ports: Array(ports.prefix(max(0, Int(count)))))
  }
}

extension USBError.Reason {
  /// - Parameter code: one of libusb's negative numbers.
  init(_ code: CInt) {
    self =
      switch libusb_error(rawValue: code) {
      case LIBUSB_ERROR_ACCESS: .noPermission
      case LIBUSB_ERROR_BUSY: .busy
      case LIBUSB_ERROR_NO_DEVICE: .unplugged
      case LIBUSB_ERROR_TIMEOUT: .timeout
      case LIBUSB_ERROR_PIPE: .stalled
      case LIBUSB_ERROR_NOT_FOUND: .notFound
      default: .other(libusb_error_name(code).map { String(cString: $0) } ?? "error \(code)")
      }
  }
}

/// A device open in libusb.
private final class LibUSBHandle: USBHandle {
  private var handle: OpaquePointer?
  private let device: USBDevice
  /// Outlives the handle, as libusb demands.
  private let session: Session

  init(_ handle: OpaquePointer, _ device: USBDevice, _ session: Session) {
    self.handle = handle
    self.device = device
    self.session = session
  }

  deinit { close() }

  func close() {
    if let handle { libusb_close(handle) }
    handle = nil
  }

  func text(_ text: USBText) throws(USBError) -> String? {
    var descriptor = libusb_device_descriptor()
    try check("read descriptor", libusb_get_device_descriptor(libusb_get_device(handle), &descriptor))
    let index =
      switch text {
      case .manufacturer: descriptor.iManufacturer
      case .product: descriptor.iProduct
      case .serial: descriptor.iSerialNumber
      }
    guard index != 0 else { return nil }
    var buffer = [UInt8](repeating: 0, count: 256)
    let count = libusb_get_string_descriptor_ascii(handle, index, &buffer, CInt(buffer.count))
    try check("read text", count)
    return String(decoding: buffer.prefix(Int(count)), as: UTF8.self)
  }

  func endpoints(ofInterface interface: Int) throws(USBError) -> [USBEndpoint] {
    var configuration: UnsafeMutablePointer<libusb_config_descriptor>?
    try check(
      "read configuration",
      libusb_get_active_config_descriptor(libusb_get_device(handle), &configuration))
    guard let configuration else { return [] }
    defer { libusb_free_config_descriptor(configuration) }
    let all = UnsafeBufferPointer(
      start: configuration.pointee.interface, count: Int(configuration.pointee.bNumInterfaces))
    for alternatives in all where alternatives.num_altsetting > 0 {
      guard let first = alternatives.altsetting?.pointee, first.bInterfaceNumber == interface else {
        continue
      }
      return UnsafeBufferPointer(start: first.endpoint, count: Int(first.bNumEndpoints)).map {
        // Bits above 10 count further transactions of a microframe.
        USBEndpoint(address: $0.bEndpointAddress, packetBytes: Int($0.wMaxPacketSize & 0x7FF))
      }
    }
    throw USBError("read interface \(interface)", device.path, .notFound)
  }

  func hasKernelDriver(interface: Int) throws(USBError) -> Bool {
    let code = libusb_kernel_driver_active(handle, CInt(interface))
    if code == LIBUSB_ERROR_NOT_SUPPORTED.rawValue { return false }
    try check("ask for the kernel's driver", code)
    return code == 1
  }

  func detachKernelDriver(interface: Int) throws(USBError) {
    try check("detach the kernel's driver", libusb_detach_kernel_driver(handle, CInt(interface)))
  }

  func attachKernelDriver(interface: Int) throws(USBError) {
    try check("give the kernel's driver back", libusb_attach_kernel_driver(handle, CInt(interface)))
  }

  func claim(interface: Int) throws(USBError) {
    try check("claim interface \(interface)", libusb_claim_interface(handle, CInt(interface)))
  }

  func release(interface: Int) throws(USBError) {
    try check("release interface \(interface)", libusb_release_interface(handle, CInt(interface)))
  }

  func controlOut(_ request: USBRequest, _ bytes: [UInt8], timeout: Duration) throws(USBError) {
    var bytes = bytes
    let code = libusb_control_transfer(
      handle, 0x40, request.request, request.value, request.index, &bytes, UInt16(clamping: bytes.count),
      milliseconds(timeout))
    try check("control request 0x\(String(request.request, radix: 16))", code)
  }

  func controlIn(_ request: USBRequest, byteCount: Int, timeout: Duration) throws(USBError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let code = libusb_control_transfer(
      handle, 0xC0, request.request, request.value, request.index, &bytes, UInt16(clamping: byteCount),
      milliseconds(timeout))
    try check("control request 0x\(String(request.request, radix: 16))", code)
    return Array(bytes.prefix(Int(code)))
  }

  func bulkOut(_ endpoint: UInt8, _ bytes: UnsafeRawBufferPointer, timeout: Duration) throws(USBError) -> Int
  {
    try bulk("bulk write", endpoint, UnsafeMutableRawBufferPointer(mutating: bytes), timeout)
  }

  func bulkIn(
    _ endpoint: UInt8, into buffer: UnsafeMutableRawBufferPointer, timeout: Duration
  ) throws(USBError) -> Int {
    try bulk("bulk read", endpoint, buffer, timeout)
  }

  private func bulk(
    _ operation: String, _ endpoint: UInt8, _ bytes: UnsafeMutableRawBufferPointer, _ timeout: Duration
  ) throws(USBError) -> Int {
    var count: CInt = 0
    let code = libusb_bulk_transfer(
      handle, endpoint, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), CInt(clamping: bytes.count),
      &count, milliseconds(timeout))
    // A timeout may come after a part has gone over; that part counts.
    if code == LIBUSB_ERROR_TIMEOUT.rawValue, count > 0 { return Int(count) }
    try check(operation, code)
    return Int(count)
  }

  func clearHalt(_ endpoint: UInt8) throws(USBError) {
    try check("clear halt", libusb_clear_halt(handle, endpoint))
  }

  private func check(_ operation: String, _ code: CInt) throws(USBError) {
    if code < 0 { throw USBError(operation, device.path, .init(code)) }
  }

  /// libusb takes 0 as "for ever"; nothing here waits for ever.
  private func milliseconds(_ duration: Duration) -> UInt32 {
    let parts = duration.components
    return UInt32(clamping: max(1, parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000))
  }
}
