internal import SystemPackage

/// A device of the kernel's UIO framework: maps and perhaps an interrupt
/// (linux: Documentation/driver-api/uio-howto.rst).
final class UIODevice {
  struct Map {
    enum Contents {
      case registers
      case memory(MemoryBlock)
    }

    let name: String
    let address: UInt64
    let byteCount: UInt64
    let contents: Contents

    var pages: UInt64 { (byteCount + PhysicalMemory.pageBytes - 1) / PhysicalMemory.pageBytes }
  }

  let number: Int
  let name: String
  let maps: [Map]
  let hasInterrupt: Bool
  private let clock: Clock
  /// When the next interrupt comes, as far as that can be told.
  private let nextInterrupt: () -> ContinuousClock.Instant?
  fileprivate(set) var eventCount: UInt32 = 0
  /// The handler switches the interrupt off; who has read the event switches it on again.
  fileprivate var isEnabled = true
  fileprivate var isPending = false

  init(
    number: Int, name: String, maps: [Map], clock: Clock,
    interruptAt: (() -> ContinuousClock.Instant?)? = nil
  ) {
    self.number = number
    self.name = name
    self.maps = maps
    self.clock = clock
    hasInterrupt = interruptAt != nil
    nextInterrupt = interruptAt ?? { nil }
  }

  func interrupt() {
    guard hasInterrupt else { return }
    isPending = true
    deliver()
  }

  fileprivate func deliver() {
    guard isPending, isEnabled else { return }
    isPending = false
    isEnabled = false
    eventCount &+= 1
  }

  func add(to files: FileTree) {
    let folder = "/sys/class/uio/uio\(number)"
    files.add("\(folder)/name", text: name)
    files.add("\(folder)/version", text: "devicetree")
    files.add("\(folder)/event", Attribute { [unowned self] () throws(Errno) in "\(eventCount)" })
    for (index, map) in maps.enumerated() {
      let map = (folder: "\(folder)/maps/map\(index)", entry: map)
      files.add("\(map.folder)/name", text: map.entry.name)
      files.add("\(map.folder)/addr", text: Self.hexadecimal(map.entry.address))
      files.add("\(map.folder)/size", text: Self.hexadecimal(map.entry.byteCount))
      files.add("\(map.folder)/offset", text: "0x0")
    }
    files.add("/dev/uio\(number)", DeviceNode { _ throws(Errno) in OpenUIO(self) })
  }

  private static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return "0x" + String(repeating: "0", count: max(0, 16 - digits.count)) + digits
  }

  fileprivate var eventAt: ContinuousClock.Instant? { isEnabled ? nextInterrupt() : nil }
  fileprivate var now: ContinuousClock.Instant { clock.now }

  /// The map that an mmap offset means: maps are chosen by page number.
  fileprivate func map(_ offset: UInt64, _ byteCount: Int) throws(Errno) -> Map {
    let index = offset / PhysicalMemory.pageBytes
    guard offset % PhysicalMemory.pageBytes == 0, index < UInt64(maps.count), byteCount > 0 else {
      throw .invalidArgument
    }
    let map = maps[Int(index)]
    guard UInt64(byteCount) <= map.pages * PhysicalMemory.pageBytes else { throw .invalidArgument }
    return map
  }
}

private final class OpenUIO: OpenNode {
  private let device: UIODevice
  private var seenCount: UInt32

  init(_ device: UIODevice) {
    self.device = device
    seenCount = device.eventCount
  }

  var readableAt: ContinuousClock.Instant? {
    device.eventCount != seenCount ? device.now : device.eventAt
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?) throws(Errno) -> Int {
    guard device.hasInterrupt else { throw .ioError }
    guard buffer.count == 4 else { throw .invalidArgument }
    // A real read waits; drivers poll first.
    guard device.eventCount != seenCount else { throw .resourceTemporarilyUnavailable }
    seenCount = device.eventCount
    buffer.storeBytes(of: seenCount, as: UInt32.self)
    return 4
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    guard device.hasInterrupt else { throw .ioError }
    guard bytes.count == 4 else { throw .invalidArgument }
    device.isEnabled = bytes.loadUnaligned(as: UInt32.self) != 0
    device.deliver()
    return 4
  }

  /// Always uncached, as UIO maps physical memory.
  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView {
    let map = try device.map(offset, byteCount)
    guard case .memory(let block) = map.contents else { throw .invalidArgument }
    return try MappedView(block, offset: 0, byteCount: byteCount, isCached: false)
  }

  func registers(offset: UInt64, byteCount: Int) throws(Errno) -> RegisterWindow {
    let map = try device.map(offset, byteCount)
    guard case .registers = map.contents else { throw .invalidArgument }
    return RegisterWindow(address: map.address, byteCount: byteCount)
  }
}
