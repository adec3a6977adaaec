/// The physical address space that a simulated accelerator sees: blocks at fixed addresses, everything else unmapped.
///
/// Owned by the thread that drives the device; not safe to share.
package final class SimulatedMemory {
  private struct Block {
    let address: UInt64
    let bytes: UnsafeMutableRawBufferPointer
    let isOwned: Bool
    var end: UInt64 { address + UInt64(bytes.count) }
  }

  /// Sorted by address, disjoint.
  private var blocks: [Block] = []

  package init() {}

  deinit {
    for block in blocks where block.isOwned { block.bytes.deallocate() }
  }

  /// A zeroed block on a page boundary; never at page 0, which stands for "no memory".
  package func allocate(byteCount: UInt64) throws(MemoryFault) -> UInt64 {
    let page = UInt64(Limits.pageBytes)
    guard byteCount > 0, byteCount <= MemoryFault.addressSpaceEnd else {
      throw .outOfMemory(byteCount: byteCount)
    }
    let size = (byteCount + page - 1) / page * page
    var address = page
    for block in blocks {
      if block.address >= address + size { break }
      address = (block.end + page - 1) / page * page
    }
    guard address + size <= MemoryFault.addressSpaceEnd else {
      throw .outOfMemory(byteCount: byteCount)
    }
    try map(address: address, byteCount: size)
    return address
  }

  /// A zeroed block at a given address, as a recorded run needs it.
  package func map(address: UInt64, byteCount: UInt64) throws(MemoryFault) {
    guard let count = Int(exactly: byteCount) else { throw .outOfMemory(byteCount: byteCount) }
    let index = try place(address, byteCount)
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 64)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
    blocks.insert(Block(address: address, bytes: bytes, isOwned: true), at: index)
  }

  /// Memory of the caller's as a block; it must outlive this object.
  package func map(address: UInt64, borrowing bytes: UnsafeMutableRawBufferPointer) throws(MemoryFault) {
    let index = try place(address, UInt64(bytes.count))
    blocks.insert(Block(address: address, bytes: bytes, isOwned: false), at: index)
  }

  /// Where in `blocks` a new one belongs.
  private func place(_ address: UInt64, _ byteCount: UInt64) throws(MemoryFault) -> Int {
    guard address <= MemoryFault.addressSpaceEnd, byteCount <= MemoryFault.addressSpaceEnd - address else {
      throw .outOfMemory(byteCount: byteCount)
    }
    let index = firstBlock(endingAfter: address)
    if index < blocks.count, blocks[index].address < address + byteCount {
      throw .overlap(address: address, byteCount: byteCount)
    }
    return index
  }

  /// Gives a block back; an address that starts no block is ignored.
  package func free(_ address: UInt64) {
    guard let index = blocks.firstIndex(where: { $0.address == address }) else { return }
    let block = blocks.remove(at: index)
    if block.isOwned { block.bytes.deallocate() }
  }

  package func withBytes<R>(
    at address: UInt64, count: Int, _ body: (UnsafeRawBufferPointer) throws -> R
  ) throws -> R {
    try body(UnsafeRawBufferPointer(try bytes(at: address, count: count)))
  }

  package func withMutableBytes<R>(
    at address: UInt64, count: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> R
  ) throws -> R {
    try body(try bytes(at: address, count: count))
  }

  /// The pointer is valid until the block is freed.
  func bytes(at address: UInt64, count: Int) throws(MemoryFault) -> UnsafeMutableRawBufferPointer {
    let index = firstBlock(endingAfter: address)
    guard index < blocks.count, blocks[index].address <= address, count >= 0,
      UInt64(count) <= blocks[index].end - address
    else { throw .unmapped(address: address, byteCount: UInt64(max(0, count))) }
    let offset = Int(address - blocks[index].address)
    return UnsafeMutableRawBufferPointer(rebasing: blocks[index].bytes[offset..<offset + count])
  }

  private func firstBlock(endingAfter address: UInt64) -> Int {
    var low = 0
    var high = blocks.count
    while low < high {
      let middle = (low + high) / 2
      if blocks[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

/// An access that no block of simulated memory answers.
package enum MemoryFault: Error, Equatable, CustomStringConvertible {
  case unmapped(address: UInt64, byteCount: UInt64)
  case overlap(address: UInt64, byteCount: UInt64)
  case outOfMemory(byteCount: UInt64)

  /// Implementations drive 32 address bits (section 3.1).
  static let addressSpaceEnd: UInt64 = 1 << 32

  package var description: String {
    switch self {
    case .unmapped(let address, let byteCount):
      "\(byteCount) bytes at 0x\(String(address, radix: 16)) lie outside the memory given to the program"
    case .overlap(let address, let byteCount):
      "\(byteCount) bytes at 0x\(String(address, radix: 16)) overlap memory that is already mapped"
    case .outOfMemory(let byteCount):
      "no room for \(byteCount) bytes in the accelerator's 4 GiB address space"
    }
  }
}
