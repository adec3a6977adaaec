internal import VTA

/// Who uses which part of the accumulator: tiles in turn from the bottom, a layer's constants at the top. A tile that is
/// still being stored holds its part.
struct Accumulators {
  private let depth: Int
  /// STOREs that have not been waited for, and what they read.
  private var pending: [(range: Range<Int>, store: ProgramBuilder.Producer)] = []
  private var turn = 0
  /// What the top holds.
  private(set) var constants: (location: UInt64, blocks: Range<Int>, base: Int)?

  init(depth: Int) { self.depth = depth }

  /// Elements that a tile may take beside `constants` elements at the top.
  func capacity(contexts: Int, constants: Int) -> Int { (depth - constants) / contexts }

  /// The place of the next tile, and what must have been stored before it is written.
  mutating func next(
    contexts: Int, constants: Int, size: Int
  ) -> (base: Int, free: [ProgramBuilder.Producer?]) {
    turn = (turn + 1) % contexts
    let base = turn * capacity(contexts: contexts, constants: constants)
    return (base, take(base..<base + size))
  }

  /// The place of constants at the top, and what must have been stored before they are loaded.
  mutating func placeConstants(
    _ count: Int, from location: UInt64, _ blocks: Range<Int>
  ) -> (base: Int, free: [ProgramBuilder.Producer?]) {
    let base = depth - count
    let free = take(base..<depth)
    constants = (location, blocks, base)
    return (base, free)
  }

  mutating func stored(_ range: Range<Int>, by store: ProgramBuilder.Producer?) {
    if let store { pending.append((range, store)) }
  }

  private mutating func take(_ range: Range<Int>) -> [ProgramBuilder.Producer?] {
    if let held = constants, range.upperBound > held.base { constants = nil }
    let overlapping = pending.filter { $0.range.overlaps(range) }
    pending.removeAll { $0.range.overlaps(range) }
    return overlapping.map(\.store)
  }
}
