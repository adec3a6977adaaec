internal import VTA

/// Which pages of a fixed stretch of memory are free. First fit; neighbours that are free are one.
struct FreeList {
  /// Sorted, disjoint, no two adjacent, none empty.
  private var free: [Range<UInt64>]
  let byteCount: UInt64

  init(byteCount: UInt64) {
    self.byteCount = byteCount / Limits.regionAlignment * Limits.regionAlignment
    free = self.byteCount == 0 ? [] : [0..<self.byteCount]
  }

  var freeBytes: UInt64 { free.reduce(0) { $0 + UInt64($1.count) } }
  var largestFree: UInt64 { free.map { UInt64($0.count) }.max() ?? 0 }

  /// - Parameter byteCount: a multiple of the alignment, not zero.
  /// - Returns: the offset, a multiple of the alignment.
  mutating func take(_ byteCount: UInt64) -> UInt64? {
    guard let index = free.firstIndex(where: { UInt64($0.count) >= byteCount }) else { return nil }
    let range = free[index]
    let rest = range.lowerBound + byteCount..<range.upperBound
    if rest.isEmpty { free.remove(at: index) } else { free[index] = rest }
    return range.lowerBound
  }

  /// Takes back what ``take(_:)`` gave.
  mutating func give(_ range: Range<UInt64>) {
    let index = free.firstIndex { $0.lowerBound > range.lowerBound } ?? free.count
    var merged = range
    var replaced = index..<index
    if index < free.count, free[index].lowerBound == merged.upperBound {
      merged = merged.lowerBound..<free[index].upperBound
      replaced = index..<index + 1
    }
    if index > 0, free[index - 1].upperBound == merged.lowerBound {
      merged = free[index - 1].lowerBound..<merged.upperBound
      replaced = index - 1..<replaced.upperBound
    }
    free.replaceSubrange(replaced, with: [merged])
  }
}
