internal import SystemPackage

/// `/dev/cma` of TVM's module for the DE10-Nano (reference/vta-hardware.md, section 5.2). Buffers live until they are
/// freed, or the descriptor that made them is closed.
final class CMADevice: OpenNode {
  private struct Buffer {
    let block: MemoryBlock
    let isCached: Bool
    /// Where it was mapped last, in the 32 bits that the module's calls have for it.
    var virtual: UInt32?
  }

  private let memory: PhysicalMemory
  /// By physical address.
  private var buffers: [UInt64: Buffer] = [:]

  private init(_ memory: PhysicalMemory) { self.memory = memory }

  static func add(to files: FileTree, _ memory: PhysicalMemory) {
    files.add("/dev/cma", DeviceNode { _ throws(Errno) in CMADevice(memory) })
  }

  private func find(_ virtual: UInt32) -> MemoryBlock? {
    buffers.values.first { $0.virtual == virtual }?.block
  }

  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    guard argument.count == 4 else { throw .badAddress }
    let value = argument.load(as: UInt32.self)
    func answer(_ value: UInt64) {
      argument.storeBytes(of: UInt32(truncatingIfNeeded: value), as: UInt32.self)
    }
    switch request {
    case 0xC004_F201, 0xC004_F202:
      guard let block = memory.allocate(byteCount: UInt64(value)) else { throw .noMemory }
      buffers[block.address] = Buffer(block: block, isCached: request == 0xC004_F201)
      answer(block.address)
    case 0x4004_F203:
      guard let block = find(value), buffers.removeValue(forKey: block.address) != nil else {
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
    guard let buffer = buffers[offset] else { throw .invalidArgument }
    let view = try MappedView(buffer.block, offset: 0, byteCount: byteCount, isCached: buffer.isCached)
    buffers[offset]?.virtual = UInt32(truncatingIfNeeded: UInt(bitPattern: view.bytes.baseAddress))
    return view
  }
}
