import Glibc
import VTACableModels
import VTAJTAG

/// Plays a device for the kernel's virtual host controller (vhci-hcd), which speaks USB/IP over a socket: from there on the
/// kernel, usbfs and libusb are the real ones (Documentation/usb/usbip_protocol.rst of Linux).
final class USBIPServer {
  private let fake: any FakeDevice
  private let port: Int
  private var socket: CInt = -1
  private var pending: [Transfer] = []
  private let began = ContinuousClock.now

  /// `USB_SPEED_FULL` and `USB_SPEED_HIGH`; packets of 512 bytes are of the latter.
  private var speed: Int {
    fake.endpoints(ofInterface: 0)?.contains { $0.packetBytes <= 64 } == true ? 2 : 3
  }
  private static let attachFile = "/sys/devices/platform/vhci_hcd.0/attach"
  private static let headerBytes = 48
  private static let transferBytesMax = 1 << 20
  /// A chip without data sends its status now and then, not all the time.
  private static let statusPeriod = Duration.milliseconds(2)

  private struct Transfer {
    let sequence: UInt32
    let endpoint: UInt8
    let isIn: Bool
    let byteCount: Int
    let setup: [UInt8]
    var data: [UInt8]
    var taken = 0
    let since: ContinuousClock.Instant
  }

  private enum Command {
    static let submit: UInt32 = 1
    static let unlink: UInt32 = 2
    static let submitAnswer: UInt32 = 3
    static let unlinkAnswer: UInt32 = 4
  }

  init(_ fake: any FakeDevice, port: Int) {
    self.fake = fake
    self.port = port
  }

  /// Plugs the device in.
  func attach() throws(PlayerError) {
    var pair: [CInt] = [0, 0]
    guard socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
      throw PlayerError("socketpair")
    }
    let file = Glibc.open(Self.attachFile, O_WRONLY)
    guard file >= 0 else { throw PlayerError("open \(Self.attachFile)") }
    let line = "\(port) \(pair[1]) \(1 << 16 | port + 2) \(speed)"
    let count = Glibc.write(file, line, line.utf8.count)
    Glibc.close(file)
    Glibc.close(pair[1])
    guard count > 0 else { throw PlayerError("attach") }
    socket = pair[0]
  }

  /// Pulls it out.
  func detach() {
    Glibc.close(socket)
    pending = []
  }

  /// Serves until the kernel hangs up, or until `isOver`, which is asked after each message.
  func serve(isOver: () -> Bool) {
    while !isOver() {
      var poll = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
      if Glibc.poll(&poll, 1, pending.isEmpty ? -1 : 1) > 0 {
        guard let header = read(Self.headerBytes) else { return }
        guard take(header) else { return }
      }
      retry()
    }
  }

  private func take(_ header: [UInt8]) -> Bool {
    func word(_ index: Int) -> UInt32 { header[4 * index..<4 * index + 4].reduce(0) { $0 << 8 | UInt32($1) } }
    switch word(0) {
    case Command.submit:
      let isIn = word(3) == 1
      let count = Int(word(6))
      guard count <= Self.transferBytesMax else { return false }
      var data: [UInt8] = []
      if !isIn, count > 0 {
        guard let bytes = read(count) else { return false }
        data = bytes
      }
      let transfer = Transfer(
        sequence: word(1), endpoint: UInt8(truncatingIfNeeded: word(4)) | (isIn ? 0x80 : 0), isIn: isIn,
        byteCount: count, setup: Array(header[40..<48]), data: data, since: .now)
      if transfer.endpoint & 0x7F == 0 { control(transfer) } else { pending.append(transfer) }
    case Command.unlink:
      let index = pending.firstIndex { $0.sequence == word(5) }
      if let index { pending.remove(at: index) }
      answer(Command.unlinkAnswer, word(1), status: index == nil ? 0 : -ECONNRESET, [])
    default: return false
    }
    return true
  }

  /// Bulk transfers, each endpoint's in their order.
  private func retry() {
    var blocked: Set<UInt8> = []
    var index = 0
    while index < pending.count {
      let transfer = pending[index]
      if !blocked.contains(transfer.endpoint), attempt(&pending[index]) {
        pending.remove(at: index)
      } else {
        blocked.insert(transfer.endpoint)
        index += 1
      }
    }
  }

  private func attempt(_ transfer: inout Transfer) -> Bool {
    if transfer.isIn {
      let now = ContinuousClock.now
      guard now - transfer.since >= Self.statusPeriod || fake.hasAnswer,
        let bytes = fake.bulkIn(transfer.endpoint, byteCount: transfer.byteCount, now: now - began)
      else { return false }
      answer(Command.submitAnswer, transfer.sequence, status: 0, bytes)
      return true
    }
    let clocked = (fake as? FakeFTDI)?.clockSeconds ?? 0
    transfer.taken += transfer.data[transfer.taken...].withUnsafeBytes {
      fake.bulkOut(transfer.endpoint, $0)
    }
    // It takes as long as the clock that was asked for.
    usleep(UInt32(1e6 * (((fake as? FakeFTDI)?.clockSeconds ?? 0) - clocked)))
    guard transfer.taken == transfer.data.count else { return false }
    answer(Command.submitAnswer, transfer.sequence, status: 0, [], count: transfer.taken)
    return true
  }

  private func control(_ transfer: Transfer) {
    let setup = transfer.setup
    let value = UInt16(setup[3]) << 8 | UInt16(setup[2])
    let index = UInt16(setup[5]) << 8 | UInt16(setup[4])
    let request = USBRequest(setup[1], value: value, index: index)
    let isVendor = setup[0] & 0x60 == 0x40
    var bytes: [UInt8]? = []
    if isVendor {
      if transfer.isIn {
        bytes = fake.controlIn(request, byteCount: transfer.byteCount)
      } else if !fake.controlOut(request, transfer.data) {
        bytes = nil
      }
    } else if setup[0] == 0x80, setup[1] == 6 {
      bytes = descriptor(kind: setup[3], index: Int(setup[2]))
    } else if setup[1] == 0, transfer.isIn {
      bytes = [0, 0]
    }
    guard let bytes else { return answer(Command.submitAnswer, transfer.sequence, status: -EPIPE, []) }
    if transfer.isIn {
      answer(Command.submitAnswer, transfer.sequence, status: 0, Array(bytes.prefix(transfer.byteCount)))
    } else {
      answer(Command.submitAnswer, transfer.sequence, status: 0, [], count: transfer.data.count)
    }
  }

  private func descriptor(kind: UInt8, index: Int) -> [UInt8]? {
    let device = fake.device
    func low(_ value: UInt16) -> [UInt8] { [UInt8(value & 0xFF), UInt8(value >> 8)] }
    let texts = [fake.texts[.manufacturer], fake.texts[.product], fake.texts[.serial]]
    switch kind {
    case 1:
      let indices = texts.enumerated().map { $1 == nil ? UInt8(0) : UInt8($0 + 1) }
      return [18, 1, 0, 2, 0, 0, 0, 64] + low(device.vendor) + low(device.product) + low(device.release)
        + indices + [1]
    case 2:
      var body: [UInt8] = []
      var count: UInt8 = 0
      while let endpoints = fake.endpoints(ofInterface: Int(count)) {
        body += [9, 4, count, 0, UInt8(endpoints.count), 0xFF, 0xFF, 0xFF, 0]
        for endpoint in endpoints {
          body += [7, 5, endpoint.address, 2] + low(UInt16(endpoint.packetBytes)) + [0]
        }
        count += 1
      }
      return [9, 2] + low(UInt16(9 + body.count)) + [count, 1, 0, 0x80, 50] + body
    case 3 where index == 0: return [4, 3, 0x09, 0x04]
    case 3:
      guard (1...3).contains(index), let text = texts[index - 1] else { return nil }
      let units = text.utf16.flatMap { low($0) }
      return [UInt8(2 + units.count), 3] + units
    default: return nil
    }
  }

  /// - Parameter count: `nil`: that of the bytes.
  private func answer(
    _ command: UInt32, _ sequence: UInt32, status: CInt, _ bytes: [UInt8], count: Int? = nil
  ) {
    var message: [UInt8] = []
    for word in [command, sequence, 0, 0, 0, UInt32(bitPattern: status), UInt32(count ?? bytes.count)] {
      for shift in [24, 16, 8, 0] { message.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    message += [UInt8](repeating: 0, count: Self.headerBytes - message.count)
    message += bytes
    var start = 0
    while start < message.count {
      let sent = message[start...].withUnsafeBytes {
        send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL))
      }
      if sent <= 0 { return }
      start += sent
    }
  }

  private func read(_ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var start = 0
    while start < count {
      let got = bytes[start...].withUnsafeMutableBytes { Glibc.read(socket, $0.baseAddress, $0.count) }
      guard got > 0 else { return nil }
      start += got
    }
    return bytes
  }
}

struct PlayerError: Error, CustomStringConvertible {
  let description: String
  init(_ what: String) { description = "\(what): \(String(cString: strerror(errno)))" }
}
