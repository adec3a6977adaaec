/// How many durations fell under each of a few bounds, as Prometheus counts them.
struct Histogram: Sendable {
  /// Upper bounds in seconds; beyond the last there is no bound.
  static let bounds = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]

  /// Per bound, and one more beyond the last; not cumulative.
  private(set) var counts = [UInt64](repeating: 0, count: bounds.count + 1)
  private(set) var seconds = 0.0

  var total: UInt64 { counts.reduce(0, +) }

  mutating func add(_ duration: Duration) {
    let value = duration / .seconds(1)
    counts[Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count] += 1
    seconds += value
  }

  /// The bound under which this share of all durations lies; `nil` if there are none, infinite beyond the last bound.
  func bound(of share: Double) -> Double? {
    let total = total
    guard total > 0 else { return nil }
    let wanted = Double(total) * share
    var sum: UInt64 = 0
    for (index, count) in counts.enumerated() {
      sum += count
      if Double(sum) >= wanted { return index < Self.bounds.count ? Self.bounds[index] : .infinity }
    }
    return .infinity
  }
}
