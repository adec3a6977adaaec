/// One interface of an open device, claimed. Opening is a ladder; its mirror happens at the end, whatever came between: the
/// interface is released, the kernel's driver given back, the device closed.
package final class USBConnection {
  package let device: USBDevice
  package let bus: any USBBus
  package let endpoints: [USBEndpoint]
  private let interface: Int
  private var handle: (any USBHandle)?
  private var wasClaimed = false
  private var wasDetached = false

  /// A transfer that moves nothing for this long has failed.
  static let timeout = Duration.seconds(1)

  package init(opening device: USBDevice, interface: Int, on bus: any USBBus) throws(JTAGError) {
    self.device = device
    self.bus = bus
    self.interface = interface
    let handle: any USBHandle
    do { handle = try bus.open(device) } catch { throw .usb(error) }
    do {
      endpoints = try handle.endpoints(ofInterface: interface)
    } catch {
      handle.close()
      throw .usb(error)
    }
    self.handle = handle
    do {
      if try handle.hasKernelDriver(interface: interface) {
        try handle.detachKernelDriver(interface: interface)
        wasDetached = true
      }
      try handle.claim(interface: interface)
      wasClaimed = true
    } catch {
      close()
      throw .usb(error)
    }
  }

  deinit { close() }

  /// Goes on whatever fails: of an unplugged device nothing is left to give back.
  package func close() {
    guard let handle else { return }
    if wasClaimed { try? handle.release(interface: interface) }
    if wasDetached { try? handle.attachKernelDriver(interface: interface) }
    handle.close()
    self.handle = nil
  }

  func endpoint(isIn: Bool) throws(JTAGError) -> USBEndpoint {
    guard let endpoint = endpoints.first(where: { $0.isIn == isIn }) else {
      throw .usb(USBError("find the \(isIn ? "IN" : "OUT") endpoint", device.path, .notFound))
    }
    return endpoint
  }

  func controlOut(_ request: USBRequest, _ bytes: [UInt8] = []) throws(JTAGError) {
    let handle = try open()
    do { try handle.controlOut(request, bytes, timeout: Self.timeout) } catch { throw .usb(error) }
  }

  func controlIn(_ request: USBRequest, byteCount: Int) throws(JTAGError) -> [UInt8] {
    let handle = try open()
    do { return try handle.controlIn(request, byteCount: byteCount, timeout: Self.timeout) } catch {
      throw .usb(error)
    }
  }

  /// Sends all bytes.
  func write(_ bytes: [UInt8], to endpoint: UInt8) throws(JTAGError) {
    let handle = try open()
    try bytes.withUnsafeBytesTyped { (bytes) throws(JTAGError) in
      var rest = bytes[...]
      while !rest.isEmpty {
        do throws(USBError) {
          let part = UnsafeRawBufferPointer(rebasing: rest)
          rest = rest.dropFirst(try handle.bulkOut(endpoint, part, timeout: Self.timeout))
        } catch {
          throw failed(error, handle, endpoint)
        }
      }
    }
  }

  /// One transfer.
  func read(_ byteCountMax: Int, from endpoint: UInt8) throws(JTAGError) -> [UInt8] {
    let handle = try open()
    var failure: USBError?
    let bytes = [UInt8](unsafeUninitializedCapacity: byteCountMax) { buffer, count in
      do throws(USBError) {
        count = try handle.bulkIn(
          endpoint, into: UnsafeMutableRawBufferPointer(buffer), timeout: Self.timeout)
      } catch {
        failure = error
      }
    }
    if let failure { throw failed(failure, handle, endpoint) }
    return bytes
  }

  /// An endpoint that stalled stays halted; the next user of the cable shall find it usable.
  private func failed(_ error: USBError, _ handle: any USBHandle, _ endpoint: UInt8) -> JTAGError {
    if error.reason == .stalled { try? handle.clearHalt(endpoint) }
    return .usb(error)
  }

  private func open() throws(JTAGError) -> any USBHandle {
    guard let handle else { throw .usb(USBError("use", device.path, .unplugged)) }
    return handle
  }
}
