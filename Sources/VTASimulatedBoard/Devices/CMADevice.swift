internal import SystemPackage

/// `/dev/cma` of TVM's module for the DE10-Nano (reference/vta-hardware.md, section 5.2). Buffers live until they are
/// freed, or the descriptor that made them is closed.
final class CMADevice: OpenNode {
  private let memory: PhysicalMemory
  /// The address of a pointer's mapping.
  private let find: (UInt64) -> MemoryBlock?
  private var blocks: [UInt64: (block: MemoryBlock, isCached: Bool)] = [:]

  private init(_ memory: PhysicalMemory, find: @escaping (UInt64) -> MemoryBlock?) {
    self.memory = memory
    self.find = find
  }

  /// - Parameter find: the block that a CPU address is mapped to.
  static func add(
    to files: FileTree, _ memory: PhysicalMemory, find: @escaping (UInt64) -> MemoryBlock?
  ) {
    files.add("/dev/cma", DeviceNode { _ throws(Errno) in CMADevice(memory, find: find) })
  }

  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    guard argument.count == 4 else { throw .badAddress }
    let value = UInt64(argument.load(as: UInt32.self))
    func answer(_ value: UInt64) {
      argument.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    }
    switch request {
    case 0xC004_F201, 0xC004_F202:
      guard let block = memory.allocate(byteCount: value) else { throw .noMemory }
      blocks[block.address] = (block, request == 0xC004_F201)
      answer(block.address)
    case 0x4004_F203:
      guard let block = find(value), blocks.removeValue(forKey: block.address) != nil else {
        throw .invalidArgument
      }
    case 0xC004_F204, 0xC004_F205:
      guard let block = find(value) else { throw .invalidArgument }
      answer(request == 0xC004_F204 ? block.address : UInt64(block.byteCount))
    default: throw .inappropriateIOCTLForDevice
    }
  }

  /// At the physical address that an allocation returned.
  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView {
    guard let (block, isCached) = blocks[offset] else { throw .invalidArgument }
    return try MappedView(block, offset: 0, byteCount: byteCount, isCached: isCached)
  }
}
