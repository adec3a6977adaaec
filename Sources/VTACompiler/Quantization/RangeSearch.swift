#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// How often a value's elements fell into each of equal parts of its range.
struct Histogram: Sendable {
  static let binCount = 2048
  let low: Double
  let high: Double
  /// Without the elements that are 0, which every scale expresses.
  private(set) var counts = [Int](repeating: 0, count: binCount)
  private(set) var zeros = 0

  init(low: Float, high: Float) {
    self.low = Double(low)
    self.high = Double(high)
  }

  var binWidth: Double { (high - low) / Double(Self.binCount) }

  mutating func add(_ elements: [Float]) {
    guard binWidth > 0 else { return }
    for element in elements {
      if element == 0 {
        zeros += 1
        continue
      }
      let bin = Int((Double(element) - low) / binWidth)
      counts[min(max(bin, 0), Self.binCount - 1)] += 1
    }
  }

  mutating func merge(_ other: Histogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    zeros += other.zeros
  }
}

/// Chooses how much of a distribution integers should reach.
struct RangeSearch {
  let method: QuantizationOptions.CalibrationMethod
  /// Integers that the range is cut into.
  let levels: Int

  /// - Returns: a range within the histogram's, 0 included.
  func range(_ histogram: Histogram) -> (low: Float, high: Float) {
    let total = histogram.counts.reduce(0, +)
    guard histogram.binWidth > 0, total > 0 else { return (Float(histogram.low), Float(histogram.high)) }
    switch method {
    case .minMax: return (Float(histogram.low), Float(histogram.high))
    case .percentile: return percentile(histogram, total + histogram.zeros)
    case .mse: return least(histogram) { squaredError(histogram, $0, $1) }
    case .entropy: return least(histogram) { divergence(histogram, $0, $1) }
    }
  }

  private func percentile(_ histogram: Histogram, _ total: Int) -> (low: Float, high: Float) {
    let allowed = max(1, total / 10_000)
    func cut(_ counts: some Sequence<Int>) -> Int {
      var (seen, bins) = (0, 0)
      for count in counts {
        seen += count
        if seen > allowed { break }
        bins += 1
      }
      return bins
    }
    let low = histogram.low + Double(cut(histogram.counts)) * histogram.binWidth
    let high = histogram.high - Double(cut(histogram.counts.reversed())) * histogram.binWidth
    return (Float(min(low, 0)), Float(max(high, 0)))
  }

  /// The best of 100 shares of the range.
  private func least(
    _ histogram: Histogram, _ cost: (_ low: Double, _ high: Double) -> Double
  ) -> (low: Float, high: Float) {
    var best = (cost: Double.infinity, share: 1.0)
    for step in (20...100).reversed() {
      let share = Double(step) / 100
      let found = cost(histogram.low * share, histogram.high * share)
      if found < best.cost { best = (found, share) }
    }
    return (Float(histogram.low * best.share), Float(histogram.high * best.share))
  }

  private func squaredError(_ histogram: Histogram, _ low: Double, _ high: Double) -> Double {
    let step = (high - low) / Double(levels)
    var sum = 0.0
    for (bin, count) in histogram.counts.enumerated() where count > 0 {
      let value = histogram.low + (Double(bin) + 0.5) * histogram.binWidth
      let excess = max(0, low - value, value - high)
      sum += Double(count) * (excess > 0 ? excess * excess : step * step / 12)
    }
    return sum
  }

  /// Of the distribution from what the integers make of it, both clipped to the range.
  private func divergence(_ histogram: Histogram, _ low: Double, _ high: Double) -> Double {
    let first = Int((low - histogram.low) / histogram.binWidth)
    let end = min(Histogram.binCount, Int(((high - histogram.low) / histogram.binWidth).rounded(.up)))
    guard end - first >= levels else { return .infinity }
    var clipped = histogram.counts[first..<end].map { Double($0) }
    clipped[0] += Double(histogram.counts[..<first].reduce(0, +))
    clipped[clipped.count - 1] += Double(histogram.counts[end...].reduce(0, +))
    let total = clipped.reduce(0, +)
    var sum = 0.0
    for level in 0..<levels {
      let bins = level * clipped.count / levels..<(level + 1) * clipped.count / levels
      // Bins that never occurred stay so; the others share what the integer stands for.
      let counts = histogram.counts[first..<end]
      let occurring = bins.filter { counts[first + $0] > 0 }
      let share = bins.reduce(0) { $0 + Double(counts[first + $1]) } / Double(max(1, occurring.count))
      for bin in bins where clipped[bin] > 0 {
        let other = counts[first + bin] > 0 ? share : 1e-3
        sum += clipped[bin] / total * log(clipped[bin] / max(other, 1e-9))
      }
    }
    return sum
  }
}
