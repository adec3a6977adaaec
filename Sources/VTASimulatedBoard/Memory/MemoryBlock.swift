internal import VTARuntime

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// A piece of the board's physical memory that somebody has allocated.
///
/// Where caches are not coherent there are two views of it: what lies in DRAM, which the accelerator sees, and what a
/// cached mapping of the CPU shows. They meet only when the driver says so. A real cache would also write lines back when
/// it likes; this one never does, which finds a missing call every time.
final class MemoryBlock {
  /// As the CPU counts.
  let address: UInt64
  let dram: UnsafeMutableRawBufferPointer
  /// `nil`: coherent, the CPU sees DRAM.
  private let cache: UnsafeMutableRawBufferPointer?
  private let release: () -> Void

  static let cacheLineBytes = 64

  var byteCount: Int { dram.count }
  var end: UInt64 { address + UInt64(byteCount) }
  var isCoherent: Bool { cache == nil }

  /// Zeroed memory of this process, taken page by page as it is touched.
  /// - Parameter release: called when nobody refers to the block any more.
  init?(address: UInt64, byteCount: Int, isCoherent: Bool, release: @escaping () -> Void = {}) {
    guard let dram = Self.pages(byteCount) else { return nil }
    var cache: UnsafeMutableRawBufferPointer?
    if !isCoherent {
      guard let pages = Self.pages(byteCount) else {
        munmap(dram.baseAddress, dram.count)
        return nil
      }
      cache = pages
    }
    self.address = address
    self.dram = dram
    self.cache = cache
    self.release = release
  }

  deinit {
    munmap(dram.baseAddress, dram.count)
    if let cache { munmap(cache.baseAddress, cache.count) }
    release()
  }

  private static func pages(_ byteCount: Int) -> UnsafeMutableRawBufferPointer? {
    guard byteCount > 0 else { return nil }
    let address = mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard address != MAP_FAILED else { return nil }
    return UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }

  /// What a mapping shows.
  func view(isCached: Bool) -> UnsafeMutableRawBufferPointer { isCached ? cache ?? dram : dram }

  /// The two calls of the kernel's DMA interface, on whole cache lines.
  enum Direction: UInt64 {
    case both = 0
    case toDevice = 1
    case fromDevice = 2
  }

  /// Writes the CPU's lines back; lines that only the device will fill are dropped.
  func syncForDevice(_ range: Range<Int>, _ direction: Direction) {
    guard let cache else { return }
    let lines = lines(of: range)
    direction == .fromDevice ? copy(lines, from: dram, to: cache) : copy(lines, from: cache, to: dram)
  }

  /// Drops the CPU's lines, so that it reads what the device wrote.
  func syncForCPU(_ range: Range<Int>, _ direction: Direction) {
    guard let cache, direction != .toDevice else { return }
    copy(lines(of: range), from: dram, to: cache)
  }

  private func lines(of range: Range<Int>) -> Range<Int> {
    if range.isEmpty { return range }
    let line = Self.cacheLineBytes
    return range.lowerBound / line * line..<min(byteCount, (range.upperBound + line - 1) / line * line)
  }

  private func copy(
    _ range: Range<Int>, from: UnsafeMutableRawBufferPointer, to: UnsafeMutableRawBufferPointer
  ) {
    UnsafeMutableRawBufferPointer(rebasing: to[range]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: from[range]))
  }
}
