internal import VTA
internal import VTARuntime

/// The board's DRAM, of which only allocated blocks exist, and the pool for contiguous memory (CMA).
final class PhysicalMemory {
  static let pageBytes: UInt64 = 4096

  /// Physical addresses of the pool.
  let pool: Range<UInt64>
  /// What is out of the pool, by lower bound; ends when the last mapping of it does.
  private var taken: [Range<UInt64>] = []
  private var blocks: [Weak] = []
  /// Whether the CPU's caches see what the accelerator writes, and it what they hold.
  let isCoherent: Bool
  /// Pools of other kinds in the same DRAM.
  var neighbours: [PhysicalMemory] = []

  private struct Weak {
    weak var block: MemoryBlock?
  }

  init(pool: Range<UInt64>, isCoherent: Bool) {
    self.pool = pool
    self.isCoherent = isCoherent
  }

  var poolByteCount: UInt64 { UInt64(pool.count) }
  var freeByteCount: UInt64 { poolByteCount - taken.reduce(0) { $0 + UInt64($1.count) } }

  /// Blocks that are still referred to, by address.
  var liveBlocks: [MemoryBlock] {
    blocks.removeAll { $0.block == nil }
    let all = blocks.compactMap(\.block) + neighbours.flatMap(\.liveBlocks)
    return all.sorted { $0.address < $1.address }
  }

  /// All blocks that the accelerator reaches, where it sees them.
  func seenByDevice(_ window: Board.Memory) -> SimulatedMemory {
    let memory = SimulatedMemory()
    for block in liveBlocks {
      let address = PhysicalAddress(block.address)
      guard window.reaches(address, byteCount: UInt64(block.byteCount)) else { continue }
      // Blocks are disjoint, and the window lies in the address space.
      try? memory.map(address: window.deviceAddress(of: address).rawValue, borrowing: block.dram)
    }
    return memory
  }

  func block(at address: UInt64) -> MemoryBlock? {
    liveBlocks.first { $0.address <= address && address < $0.end }
  }

  /// A block out of the pool, on a page boundary; `nil` if no gap is large enough.
  func allocate(byteCount: UInt64) -> MemoryBlock? {
    guard let range = gap(of: byteCount), let count = Int(exactly: UInt64(range.count)) else { return nil }
    taken.insert(range, at: taken.firstIndex { $0.lowerBound > range.lowerBound } ?? taken.count)
    return block(range.lowerBound, count, isCoherent) { [weak self] in
      self?.taken.removeAll { $0 == range }
    }
  }

  /// Whether the kernel itself could take a buffer out of the pool for a moment.
  func hasRoom(for byteCount: UInt64) -> Bool { gap(of: byteCount) != nil }

  /// Memory that the device tree set aside: outside the pool, at a fixed address.
  func reserve(address: UInt64, byteCount: Int) -> MemoryBlock? {
    block(address, byteCount, isCoherent) {}
  }

  private func block(
    _ address: UInt64, _ byteCount: Int, _ isCoherent: Bool, _ release: @escaping () -> Void
  ) -> MemoryBlock? {
    let block = MemoryBlock(
      address: address, byteCount: byteCount, isCoherent: isCoherent, release: release)
    if let block { blocks.append(Weak(block: block)) } else { release() }
    return block
  }

  private func gap(of byteCount: UInt64) -> Range<UInt64>? {
    guard byteCount > 0, byteCount <= poolByteCount else { return nil }
    let size = (byteCount + Self.pageBytes - 1) / Self.pageBytes * Self.pageBytes
    var start = pool.lowerBound
    for range in taken {
      if range.lowerBound - start >= size { break }
      start = range.upperBound
    }
    return pool.upperBound - start >= size ? start..<start + size : nil
  }
}
