internal import SystemPackage

/// `/dev/mem` of a kernel with STRICT_DEVMEM: registers and memory that the device tree keeps from the kernel, but no RAM.
final class MemDevice: OpenNode {
  private let memory: PhysicalMemory
  private let isReserved: (MemoryBlock) -> Bool

  private init(_ memory: PhysicalMemory, isReserved: @escaping (MemoryBlock) -> Bool) {
    self.memory = memory
    self.isReserved = isReserved
  }

  /// - Parameter isReserved: whether a block has `no-map` in the device tree.
  static func add(
    to files: FileTree, _ memory: PhysicalMemory, isReserved: @escaping (MemoryBlock) -> Bool
  ) {
    files.add(
      "/dev/mem", DeviceNode { _ throws(Errno) in MemDevice(memory, isReserved: isReserved) })
  }

  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView {
    guard let block = memory.block(at: offset), isReserved(block) else { throw .notPermitted }
    return try MappedView(block, offset: offset - block.address, byteCount: byteCount, isCached: false)
  }

  func registers(offset: UInt64, byteCount: Int) throws(Errno) -> RegisterWindow {
    guard offset % PhysicalMemory.pageBytes == 0, byteCount > 0 else { throw .invalidArgument }
    guard !memory.pool.contains(offset), memory.block(at: offset) == nil else { throw .notPermitted }
    return RegisterWindow(address: offset, byteCount: byteCount)
  }
}
