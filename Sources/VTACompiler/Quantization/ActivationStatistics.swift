/// What calibration saw of one value.
///
/// Magnitudes go into a histogram whose range is the smallest power of two above the largest, so that merging is
/// exact and the order of samples does not matter.
struct ActivationStatistics: Sendable {
  static let binCount = 2048

  private(set) var count = 0
  private(set) var sumOfSquares = 0.0
  private(set) var largest: Float = 0
  private(set) var isFinite = true
  /// Elements that are not 0, by magnitude; bin i holds [i, i + 1) · 2^exponent / binCount.
  private(set) var bins: [Int] = []
  private(set) var exponent = 0

  var meanSquare: Double { count == 0 ? 0 : sumOfSquares / Double(count) }
  var binWidth: Double { Double(sign: .plus, exponent: exponent, significand: 1) / Double(Self.binCount) }

  /// Adds a sample's elements.
  mutating func add(_ elements: [Float]) {
    var peak: Float = 0
    var sum = 0.0
    for element in elements {
      let magnitude = abs(element)
      // A comparison that fails for NaN, which must not hide.
      if !(magnitude <= peak) { peak = magnitude }
      sum += Double(element) * Double(element)
    }
    guard peak.isFinite else {
      isFinite = false
      return
    }
    count += elements.count
    sumOfSquares += sum
    guard peak > 0 else { return }
    largest = max(largest, peak)
    widen(to: Int(peak.exponent) + 1)
    let scale = Float(1 / binWidth)
    guard scale.isFinite else { return }
    for element in elements where element != 0 {
      bins[min(Int(abs(element) * scale), Self.binCount - 1)] += 1
    }
  }

  mutating func merge(_ other: ActivationStatistics) {
    isFinite = isFinite && other.isFinite
    count += other.count
    sumOfSquares += other.sumOfSquares
    largest = max(largest, other.largest)
    guard !other.bins.isEmpty else { return }
    var other = other
    widen(to: other.exponent)
    other.widen(to: exponent)
    for index in bins.indices { bins[index] += other.bins[index] }
  }

  /// Doubles the range of the histogram until it reaches 2^exponent.
  private mutating func widen(to wanted: Int) {
    guard !bins.isEmpty else {
      bins = [Int](repeating: 0, count: Self.binCount)
      exponent = wanted
      return
    }
    while exponent < wanted {
      for index in 0..<Self.binCount / 2 { bins[index] = bins[2 * index] + bins[2 * index + 1] }
      for index in Self.binCount / 2..<Self.binCount { bins[index] = 0 }
      exponent += 1
    }
  }
}

extension ActivationStatistics {
  /// The magnitude that the largest integer should stand for, so that rounding and clipping together lose least
  /// (mean squared error).
  ///
  /// - Parameter steps: the largest integer.
  /// - Returns: 0 if the value was always 0.
  func clippingRange(steps: Int) -> Double {
    guard largest > 0 else { return 0 }
    let highest = Int((Double(largest) / binWidth).rounded(.up))
    let total = bins.reduce(0, +)
    var best = (range: Double(largest), error: Double.infinity)
    // The tail is walked once: `clipped` moments of the bins above the candidate.
    var (tail, tailSum, tailSquares) = (0.0, 0.0, 0.0)
    var candidate = highest
    while candidate > highest / 4, candidate > 0 {
      let range = candidate == highest ? Double(largest) : Double(candidate) * binWidth
      let clipped = tailSquares - 2 * range * tailSum + range * range * tail
      let step = range / Double(steps)
      let error = clipped + step * step / 12 * (Double(total) - tail)
      if error < best.error { best = (range, error) }
      candidate -= 1
      let (number, middle) = (Double(bins[candidate]), (Double(candidate) + 0.5) * binWidth)
      tail += number
      tailSum += number * middle
      tailSquares += number * middle * middle
    }
    return best.range
  }
}
