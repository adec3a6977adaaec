internal import VTA

/// All memory that the accelerator may touch, and the one place that knows where it lies for whom.
///
/// Memory is given out in arenas, one per model: one block, in which the regions of the model lie one behind the other. What
/// the kernel gave is checked before anything uses it: on a page, and inside the board's window.
final class DeviceMemory {
  let source: any ContiguousMemory
  let coherency: Coherency
  private let window: Board.Memory
  private let headroom: CMAHeadroom
  private var arenas: [Arena] = []

  private struct Arena {
    let block: ContiguousBlock
    let start: DeviceAddress
    var byteCount: UInt64 { UInt64(block.bytes.count) }
  }

  init(_ source: any ContiguousMemory, _ coherency: Coherency, window: Board.Memory, headroom: CMAHeadroom) {
    self.source = source
    self.coherency = coherency
    self.window = window
    self.headroom = headroom
  }

  var usedBytes: UInt64 { arenas.reduce(0) { $0 + $1.byteCount } }

  /// One arena, all or nothing: a region of zeros for each size, each on ``Limits/regionAlignment``.
  func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress] {
    var offsets: [UInt64] = []
    var total: UInt64 = 0
    for byteCount in byteCounts {
      offsets.append(total)
      let aligned = byteCount.addingReportingOverflow(Limits.regionAlignment - 1)
      let end = total.addingReportingOverflow(
        aligned.partialValue / Limits.regionAlignment * Limits.regionAlignment)
      guard !aligned.overflow, !end.overflow else {
        throw .outOfMemory(requested: byteCount, reason: "the request is too large")
      }
      total = end.partialValue
    }
    guard total > 0 else { return offsets.map { _ in DeviceAddress(0) } }
    if source.drawsFromCMA { try headroom.check(total) }
    let block = try source.allocate(total, coherency)
    let start = try deviceAddress(of: block)
    block.clear(0..<block.bytes.count)
    try handOver(block, 0..<block.bytes.count, to: .device, at: start)
    arenas.append(Arena(block: block, start: start))
    return offsets.map { start.advanced(by: $0) }
  }

  /// Takes back the arena that begins here.
  func free(_ start: DeviceAddress) { arenas.removeAll { $0.start == start } }

  func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError) {
    let (block, range) = try place(address, byteCount: bytes.count)
    bytes.withUnsafeBytes { block.write($0, at: range.lowerBound) }
    try handOver(block, range, to: .device, at: address)
  }

  func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8] {
    let (block, range) = try place(address, byteCount: byteCount)
    try handOver(block, range, to: .cpu, at: address)
    return [UInt8](unsafeUninitializedCapacity: byteCount) { buffer, count in
      block.read(at: range.lowerBound, into: UnsafeMutableRawBufferPointer(buffer))
      count = byteCount
    }
  }

  private func handOver(
    _ block: ContiguousBlock, _ range: Range<Int>, to owner: ContiguousBlock.Owner, at address: DeviceAddress
  ) throws(DeviceError) {
    do {
      try block.handOver(range, to: owner)
    } catch {
      throw .badAccess(address: address, byteCount: UInt64(range.count), reason: "\(error)")
    }
  }

  private func place(
    _ address: DeviceAddress, byteCount: Int
  ) throws(DeviceError) -> (ContiguousBlock, Range<Int>) {
    guard byteCount >= 0,
      let arena = arenas.first(where: {
        address >= $0.start && address.rawValue - $0.start.rawValue < $0.byteCount
      }),
      UInt64(byteCount) <= arena.byteCount - (address.rawValue - arena.start.rawValue)
    else {
      throw .badAccess(
        address: address, byteCount: UInt64(max(byteCount, 0)), reason: "it belongs to no loaded model")
    }
    let offset = Int(address.rawValue - arena.start.rawValue)
    return (arena.block, offset..<offset + byteCount)
  }

  private func deviceAddress(of block: ContiguousBlock) throws(DeviceError) -> DeviceAddress {
    let address = block.physicalAddress
    guard address.rawValue % Limits.regionAlignment == 0 else {
      throw .memoryUnusable(name: source.name, reason: "the block at \(address) does not start on a page")
    }
    // VTA's first page is never handed out: address 0 means "none".
    guard window.reaches(address, byteCount: UInt64(block.bytes.count)), address.rawValue != 0 else {
      throw .memoryUnusable(
        name: source.name,
        reason: "\(block.bytes.count) bytes at \(address) are not all below \(window.limit), where the "
          + "accelerator's port ends; reserve memory there (cma=SIZE@ADDRESS, or alloc-ranges in the device tree)"
      )
    }
    return window.deviceAddress(of: address)
  }
}

/// Memory of the kernel's contiguous allocator that must stay free: programming the FPGA takes it, and without it a hung
/// accelerator can't be recovered.
struct CMAHeadroom {
  let kernel: any Kernel
  /// Zero: nothing is kept free.
  let byteCount: UInt64

  func check(_ requested: UInt64) throws(DeviceError) {
    guard byteCount > 0, let free = ContiguousPool(on: kernel)?.freeBytes else { return }
    guard requested <= free, free - requested >= byteCount else {
      throw .outOfMemory(
        requested: requested,
        reason: "CMA has \(free) bytes free, of which \(byteCount) are kept to program the FPGA again")
    }
  }
}
