internal import SystemPackage

/// `/dev/dma_heap/NAME`: buffers out of the CMA pool as descriptors (linux: include/uapi/linux/dma-heap.h).
final class DMAHeap: OpenNode {
  private let memory: PhysicalMemory
  private let install: (any OpenNode, String) -> CInt

  private init(_ memory: PhysicalMemory, install: @escaping (any OpenNode, String) -> CInt) {
    self.memory = memory
    self.install = install
  }

  static func add(
    _ name: String, to files: FileTree, _ memory: PhysicalMemory,
    install: @escaping (any OpenNode, String) -> CInt
  ) {
    files.add("/dev/dma_heap/\(name)", DeviceNode { _ throws(Errno) in DMAHeap(memory, install: install) })
  }

  /// `DMA_HEAP_IOCTL_ALLOC`, of `{ u64 len; u32 fd; u32 fd_flags; u64 heap_flags; }`.
  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    guard request == 0xC018_4800, argument.count == 24 else { throw .inappropriateIOCTLForDevice }
    guard argument.load(fromByteOffset: 16, as: UInt64.self) == 0 else { throw .invalidArgument }
    let byteCount = argument.load(as: UInt64.self)
    guard byteCount > 0 else { throw .invalidArgument }
    guard let block = memory.allocate(byteCount: byteCount) else { throw .noMemory }
    argument.storeBytes(
      of: UInt32(bitPattern: install(OpenDMABuf(block, range: 0..<block.byteCount), "dmabuf")),
      toByteOffset: 8, as: UInt32.self)
  }
}

/// A descriptor that is a buffer (linux: include/uapi/linux/dma-buf.h).
final class OpenDMABuf: OpenNode {
  private let block: MemoryBlock
  private let range: Range<Int>

  private let maintainsCache: Bool

  init(_ block: MemoryBlock, range: Range<Int>, maintainsCache: Bool = false) {
    self.block = block
    self.range = range
    self.maintainsCache = maintainsCache
  }

  /// `DMA_BUF_IOCTL_SYNC`: a stretch of CPU accesses starts or ends. Heaps maintain caches for the devices that kernel
  /// drivers attached to the buffer, and an accelerator without a driver is none.
  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    guard request == 0x4008_6200, argument.count == 8 else { throw .inappropriateIOCTLForDevice }
    let flags = argument.load(as: UInt64.self)
    guard flags & 3 != 0, flags & ~7 == 0 else { throw .invalidArgument }
    guard maintainsCache else { return }
    if flags & 4 == 0 {
      block.syncForCPU(range, .both)
    } else if flags & 2 != 0 {
      block.syncForDevice(range, .both)
    }
  }

  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView {
    guard offset <= UInt64(range.count), byteCount <= range.count - Int(offset) else {
      throw .invalidArgument
    }
    return try MappedView(
      block, offset: UInt64(range.lowerBound) + offset, byteCount: byteCount, isCached: true)
  }
}
