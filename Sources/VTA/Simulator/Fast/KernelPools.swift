internal import CVTAKernels

/// The lists that calls of kernels point to. Equal lists are kept once.
final class KernelPools {
  /// A list that grows at most to `capacity`, in memory that stays where it is.
  private struct Pool<Element: BitwiseCopyable> {
    private(set) var chunks: [UnsafeMutableBufferPointer<Element>] = []
    private var used = 0
    private(set) var byteCount = 0

    mutating func add(_ elements: [Element]) -> UnsafePointer<Element>? {
      if chunks.last.map({ $0.count - used < elements.count }) ?? true {
        // Larger chunks for larger programs, so that little stays unused.
        let capacity = max(
          elements.count, min(1 << 14, max(256, byteCount / MemoryLayout<Element>.stride / 8)))
        let chunk = UnsafeMutableBufferPointer<Element>.allocate(capacity: capacity)
        byteCount += capacity * MemoryLayout<Element>.stride
        chunks.append(chunk)
        used = 0
      }
      guard let start = chunks.last?.baseAddress?.advanced(by: used) else { return nil }
      _ = UnsafeMutableBufferPointer(start: start, count: elements.count).initialize(fromContentsOf: elements)
      used += elements.count
      return UnsafePointer(start)
    }

    func deallocate() {
      for chunk in chunks { chunk.deallocate() }
    }
  }

  private var numbers = Pool<Int32>()
  private var knownNumbers: [[Int32]: UnsafePointer<Int32>] = [:]
  private var runs = Pool<vta_run>()
  private var segments = Pool<vta_segment>()
  private var steps = Pool<vta_step>()
  let weights: PackedTiles

  init(weights: PackedTiles) { self.weights = weights }

  deinit {
    numbers.deallocate()
    runs.deallocate()
    segments.deallocate()
    steps.deallocate()
  }

  var byteCount: Int {
    numbers.byteCount + runs.byteCount + segments.byteCount + steps.byteCount + weights.byteCount
  }

  /// The same place for equal lists.
  func add(_ list: [Int32]) -> UnsafePointer<Int32>? {
    if let known = knownNumbers[list] { return known }
    let place = numbers.add(list)
    knownNumbers[list] = place
    return place
  }

  func add(_ list: [vta_run]) -> UnsafePointer<vta_run>? { runs.add(list) }
  func add(_ list: [vta_segment]) -> UnsafePointer<vta_segment>? { segments.add(list) }
  func add(_ list: [vta_step]) -> UnsafePointer<vta_step>? { steps.add(list) }

  /// Nothing is added any more.
  func seal() {
    knownNumbers = [:]
    weights.seal()
  }
}

/// Constant weight tiles as kernels read them, in the order in which runs first name them. Groups of four inputs that no
/// output has a weight for are left out.
final class PackedTiles {
  private var addresses: [UInt64]
  private let c: HardwareConfiguration
  private let memory: SimulatedMemory
  private var block: Int { c.block }
  private let bytes: UnsafeMutableRawBufferPointer
  /// 0: not packed yet.
  private var starts: [Int]
  private var used: [UInt64]
  /// `block` lanes per tile.
  private var corrections: [Int32]
  /// A tile of zeros at the start; all others follow.
  private let base: UnsafeMutablePointer<UInt8>
  private var end: Int
  private var lanes: [Int8]

  /// - Parameter tiles: places of the tiles' elements in DRAM.
  /// - Returns: `nil` if one is missing.
  init?(_ addresses: [UInt64], _ c: HardwareConfiguration, _ memory: SimulatedMemory) {
    let size = c.block * c.block
    for address in addresses {
      guard (try? memory.bytes(at: address, count: c.elementBytes(.wgt))) != nil else { return nil }
    }
    self.addresses = addresses
    self.c = c
    self.memory = memory
    // Untouched pages behind the last tile cost nothing.
    bytes = .allocate(byteCount: (addresses.count + 1) * size, alignment: 64)
    guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else {
      bytes.deallocate()
      return nil
    }
    self.base = base
    base.update(repeating: 0, count: size)
    end = size
    starts = Array(repeating: 0, count: addresses.count)
    used = Array(repeating: 0, count: addresses.count)
    corrections = Array(repeating: 0, count: addresses.count * c.block)
    lanes = Array(repeating: 0, count: size)
  }

  private func pack(_ tile: Int32) {
    let index = Int(tile)
    guard tile >= 0, starts[index] == 0,
      let element = try? memory.bytes(at: addresses[index], count: c.elementBytes(.wgt))
    else { return }
    Scratchpads.unpack(UnsafeRawBufferPointer(element), bits: c.wgtBits, into: &lanes, at: 0)
    let (start, group) = (end, 4 * block)
    let groups = corrections.withUnsafeMutableBufferPointer {
      vta_pack_tile(lanes, block, base + start, $0.baseAddress?.advanced(by: index * block))
    }
    starts[index] = start
    used[index] = groups
    for source in 0..<block / 4 where groups >> UInt64(source) & 1 != 0 {
      let from = base + start + source * group
      if base + end != from { (base + end).update(from: from, count: group) }
      end += group
    }
  }

  deinit { bytes.deallocate() }

  var byteCount: Int { end + starts.count * 24 + corrections.count * 4 }

  /// Corrections are part of calls now.
  func seal() { (addresses, corrections, starts, used) = ([], [], [], []) }

  /// Adds the corrections of a tile.
  func addCorrections(of tile: Int32, to sums: inout [Int32]) {
    guard tile >= 0 else { return }
    pack(tile)
    for lane in 0..<block { sums[lane] &+= corrections[Int(tile) * block + lane] }
  }

  /// One tile product, or two that share the input at `inp`, without the groups that only multiply by 0.
  ///
  /// - Parameter tile, pair: -1 stands for a tile of zeros.
  func addRuns(_ tile: Int32, pair: Int32?, inp: Int32, to runs: inout [vta_run]) {
    pack(tile)
    if let pair { pack(pair) }
    let first = tile < 0 ? 0 : used[Int(tile)]
    let second = pair.map { $0 < 0 ? 0 : used[Int($0)] } ?? 0
    var group = 0
    while group < block / 4 {
      let kind = Self.kind(first, second, group)
      var end = group + 1
      while end < block / 4, Self.kind(first, second, end) == kind { end += 1 }
      if kind != 0 {
        runs.append(
          vta_run(
            inp: inp + Int32(4 * group), count: Int32(end - group), wgt: place(tile, first, group),
            pair: pair.flatMap { place($0, second, group) }))
      }
      group = end
    }
  }

  /// One tile of `block` × `block` lanes, followed by its corrections.
  static func pack(_ lanes: [Int8], block: Int, to packed: UnsafeMutableRawPointer?) {
    guard let packed else { return }
    let corrections = packed.advanced(by: block * block).assumingMemoryBound(to: Int32.self)
    _ = vta_pack_tile(lanes, block, packed.assumingMemoryBound(to: UInt8.self), corrections)
  }

  private static func kind(_ first: UInt64, _ second: UInt64, _ group: Int) -> UInt64 {
    (first >> UInt64(group) & 1) | (second >> UInt64(group) & 1) << 1
  }

  private func place(_ tile: Int32, _ used: UInt64, _ group: Int) -> UnsafePointer<UInt8>? {
    guard used >> UInt64(group) & 1 != 0 else { return UnsafePointer(base) }
    let before = (used & ((1 << UInt64(group)) - 1)).nonzeroBitCount
    return UnsafePointer(base) + starts[Int(tile)] + before * 4 * block
  }
}
