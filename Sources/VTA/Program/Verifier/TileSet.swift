/// Elements of one scratchpad, a bit each.
struct TileSet: Hashable, Sendable {
  private var words: [UInt64]
  private(set) var last = -1

  /// - Parameter depth: elements of the scratchpad.
  init(depth: Int) { words = Array(repeating: 0, count: (depth + 63) / 64) }

  /// - Precondition: `0..<depth` contains the element.
  mutating func insert(_ element: Int) {
    words[element / 64] |= 1 << UInt64(element % 64)
    last = max(last, element)
  }

  /// Adds every element moved by `factor`, `2 · factor` … `(extent - 1) · factor`: what a loop around it touches.
  ///
  /// Doubles the covered extent, so it costs log2(extent) passes.
  ///
  /// - Precondition: the farthest element is one of the scratchpad.
  mutating func repeated(extent: Int, factor: Int) {
    guard factor > 0, last >= 0 else { return }
    var covered = 1
    while covered < extent {
      let step = min(covered, extent - covered)
      merge(shiftedBy: step * factor)
      covered += step
    }
  }

  private mutating func merge(shiftedBy count: Int) {
    let (skip, bits) = (count / 64, UInt64(count % 64))
    for index in stride(from: words.count - 1, through: skip, by: -1) {
      var shifted = words[index - skip] << bits
      if bits > 0 && index > skip { shifted |= words[index - skip - 1] >> (64 - bits) }
      words[index] |= shifted
    }
    last += count
  }

  /// Calls `body` with each element, in ascending order.
  @inline(__always)
  func forEach(_ body: (Int) -> Void) {
    for index in words.indices {
      var rest = words[index]
      while rest != 0 {
        body(index * 64 + rest.trailingZeroBitCount)
        rest &= rest - 1
      }
    }
  }
}
