internal import SystemPackage

/// A buffer of the u-dma-buf module, release 4.8 (github.com/ikwzm/udmabuf).
final class UDMABufDevice {
  let name: String
  let block: MemoryBlock
  /// What the kernel believes of the hardware; the hardware may differ.
  private let claimsCoherent: Bool
  /// Older modules have the attributes only.
  private let hasIoctls: Bool
  private let install: (any OpenNode, String) -> CInt
  private let note: (BoardEvent) -> Void
  fileprivate var syncMode: UInt64 = 1
  private var syncOffset: UInt64 = 0
  private var syncSize: UInt64
  private var syncDirection: UInt64 = 0
  fileprivate var isOwnedByDevice = false

  init(
    _ name: String, _ block: MemoryBlock, claimsCoherent: Bool, hasIoctls: Bool,
    install: @escaping (any OpenNode, String) -> CInt, note: @escaping (BoardEvent) -> Void
  ) {
    self.name = name
    self.block = block
    self.claimsCoherent = claimsCoherent
    self.hasIoctls = hasIoctls
    self.install = install
    self.note = note
    syncSize = UInt64(block.byteCount)
  }

  func add(to files: FileTree) {
    let folder = "/sys/class/u-dma-buf/\(name)"
    files.add("\(folder)/driver_version", text: "4.8.0")
    files.add("\(folder)/phys_addr", text: "0x" + String(block.address, radix: 16))
    files.add("\(folder)/size", text: "\(block.byteCount)")
    files.add("\(folder)/dma_coherent", text: claimsCoherent ? "1" : "0")
    files.add("\(folder)/sync_mode", number(\.syncMode, upTo: 7))
    files.add("\(folder)/sync_offset", number(\.syncOffset, upTo: UInt64(block.byteCount)))
    files.add("\(folder)/sync_size", number(\.syncSize, upTo: UInt64(block.byteCount)))
    files.add("\(folder)/sync_direction", number(\.syncDirection, upTo: 2))
    files.add(
      "\(folder)/sync_owner", Attribute { [unowned self] () throws(Errno) in isOwnedByDevice ? "1" : "0" })
    files.add("\(folder)/sync_for_cpu", command(forDevice: false))
    files.add("\(folder)/sync_for_device", command(forDevice: true))
    files.add(
      "/dev/\(name)",
      DeviceNode { request throws(Errno) in
        OpenUDMABuf(self, isSynchronous: request.options.contains(OpenRequest.synchronous))
      })
  }

  private func number(_ value: ReferenceWritableKeyPath<UDMABufDevice, UInt64>, upTo most: UInt64)
    -> Attribute
  {
    Attribute(
      permissions: 0o664, text: { [unowned self] () throws(Errno) in "\(self[keyPath: value])" },
      write: { [unowned self] (text) throws(Errno) in
        guard let new = Self.number(text), new <= most else { throw .invalidArgument }
        self[keyPath: value] = new
      })
  }

  private func command(forDevice: Bool) -> Attribute {
    Attribute(
      permissions: 0o664, text: { () throws(Errno) in "0" },
      write: { [unowned self] (text) throws(Errno) in
        guard let value = Self.number(text) else { throw .invalidArgument }
        try synchronise(value, forDevice: forDevice)
      })
  }

  private static func number(_ text: String) -> UInt64? {
    text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
  }

  /// - Parameter command: 1 for what the attributes say, or `offset << 32 | size | direction << 2 | 1`.
  fileprivate func synchronise(_ command: UInt64, forDevice: Bool) throws(Errno) {
    guard command & 1 == 1 else { return }
    let isShort = command >> 4 == 0
    let offset = isShort ? syncOffset : command >> 32
    let size = isShort ? syncSize : command & 0xFFFF_FFF0
    let direction = isShort ? syncDirection : command >> 2 & 3
    try synchronise(offset, size, direction, forDevice: forDevice)
  }

  fileprivate func synchronise(
    _ offset: UInt64, _ size: UInt64, _ direction: UInt64, forDevice: Bool
  ) throws(Errno) {
    guard let direction = MemoryBlock.Direction(rawValue: direction), offset <= UInt64(block.byteCount),
      size <= UInt64(block.byteCount) - offset
    else { throw .invalidArgument }
    let range = Int(offset)..<Int(offset + size)
    isOwnedByDevice = forDevice
    note(.synchronised(name, range, forDevice: forDevice))
    if forDevice { block.syncForDevice(range, direction) } else { block.syncForCPU(range, direction) }
  }

  /// - Throws: `ENOTTY` for requests that this release doesn't know.
  fileprivate func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    guard hasIoctls, request >> 8 & 0xFF == UInt(UInt8(ascii: "U")) else {
      throw .inappropriateIOCTLForDevice
    }
    guard argument.count == Int(request >> 16 & 0x3FFF) else { throw .badAddress }
    let size = UInt64(block.byteCount)
    switch (request & 0xFF, argument.count) {
    case (1, 24):
      argument.initializeMemory(as: UInt8.self, repeating: 0)
      UnsafeMutableRawBufferPointer(rebasing: argument[8...]).copyBytes(from: "4.8.0".utf8)
    case (2, 8): argument.storeBytes(of: size, as: UInt64.self)
    case (3, 8): argument.storeBytes(of: block.address, as: UInt64.self)
    case (4, 4): argument.storeBytes(of: isOwnedByDevice ? 1 : 0, as: UInt32.self)
    case (5, 8): try synchronise(argument.load(as: UInt64.self), forDevice: false)
    case (6, 8): try synchronise(argument.load(as: UInt64.self), forDevice: true)
    case (7, 24):
      for (index, word) in [0, size, block.address].enumerated() {
        argument.storeBytes(of: word, toByteOffset: 8 * index, as: UInt64.self)
      }
    case (9, 24):
      let flags = argument.load(as: UInt64.self)
      guard flags & 1 == 1 else { return }
      try synchronise(
        argument.load(fromByteOffset: 16, as: UInt64.self),
        argument.load(fromByteOffset: 8, as: UInt64.self), flags >> 2 & 3, forDevice: flags & 3 == 3)
    case (10, 40):
      let part = try MappedView(
        block, offset: argument.load(fromByteOffset: 16, as: UInt64.self),
        byteCount: Int(clamping: argument.load(fromByteOffset: 8, as: UInt64.self)), isCached: true)
      argument.storeBytes(of: block.address + UInt64(part.offset), toByteOffset: 24, as: UInt64.self)
      argument.storeBytes(
        of: install(
          OpenDMABuf(
            block, range: part.offset..<part.offset + part.byteCount, maintainsCache: true), "dmabuf"),
        toByteOffset: 32, as: CInt.self)
    default: throw .inappropriateIOCTLForDevice
    }
  }
}

private final class OpenUDMABuf: OpenNode {
  private let device: UDMABufDevice
  private let isSynchronous: Bool

  init(_ device: UDMABufDevice, isSynchronous: Bool) {
    self.device = device
    self.isSynchronous = isSynchronous
  }

  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    try device.ioctl(request, argument)
  }

  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView {
    let isUncached =
      switch device.syncMode {
      case 1, 2, 3: isSynchronous
      case 5, 6, 7: true
      default: false
      }
    return try MappedView(device.block, offset: offset, byteCount: byteCount, isCached: !isUncached)
  }
}
