internal import VTA

/// Halves of a scratchpad that take turns, so that loading one overlaps with computing on the other: VTA's two
/// virtual threads. A slot that still holds what is asked for is used again without a load. A third slot of one element lies
/// at the end of the second, for what would push too much out of a half.
struct ScratchpadSlots {
  /// Names contents: equal keys mean equal bytes in the slot.
  struct Key: Hashable {
    let region: Int
    let byteOffset: UInt64
    let shape: [Int]
  }

  private struct Slot {
    let base: Int
    var key: Key?
    var writer: ProgramBuilder.Producer?
    var reader: ProgramBuilder.Producer?
    var lastUse = 0
    /// Elements that it holds.
    var range: Range<Int>
  }

  let capacity: Int
  private var slots: [Slot]
  private var clock = 0

  init(depth: Int, count: Int = 2) {
    capacity = depth / count
    slots = (0..<count).map { [capacity] in Slot(base: $0 * capacity, range: 0..<0) }
    slots.append(Slot(base: depth - 1, range: 0..<0))
  }

  /// The slot to use for `key`, the least recently used one if it is in none; `load` fills it unless it holds the
  /// key already.
  ///
  /// - Parameters:
  ///   - size: elements to hold.
  ///   - isAside: takes the slot of one element.
  ///   - load: emits the loads at the base index, after the given producers; returns the last one.
  mutating func acquire(
    _ key: Key, size: Int, isAside: Bool = false,
    load: (_ base: Int, _ after: [ProgramBuilder.Producer?]) throws(CodegenError) -> ProgramBuilder.Producer?
  ) throws(CodegenError) -> Lease {
    clock += 1
    if let held = slots.firstIndex(where: { $0.key == key }) {
      slots[held].lastUse = clock
      return Lease(index: held, base: slots[held].base, writer: slots[held].writer)
    }
    let halves = slots.indices.dropLast()
    let index =
      isAside ? slots.count - 1 : halves.min { slots[$0].lastUse < slots[$1].lastUse } ?? 0
    let base = slots[index].base
    let range = base..<base + size
    let overlapping = slots.indices.filter { $0 == index || slots[$0].range.overlaps(range) }
    let writer = try load(base, overlapping.map { slots[$0].reader })
    for other in overlapping { slots[other].key = nil }
    slots[index] = Slot(base: base, key: key, writer: writer, reader: nil, lastUse: clock, range: range)
    return Lease(index: index, base: base, writer: writer)
  }

  /// Tells that an instruction reads the slot; the next load into it will wait for it.
  mutating func read(_ lease: Lease, by reader: ProgramBuilder.Producer) {
    slots[lease.index].reader = reader
  }

  struct Lease {
    fileprivate let index: Int
    let base: Int
    let writer: ProgramBuilder.Producer?
  }
}
