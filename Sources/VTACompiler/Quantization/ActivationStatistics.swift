/// What calibration saw of one value.
struct ActivationStatistics: Sendable {
  private(set) var count = 0
  private(set) var sumOfSquares = 0.0
  /// 0 counts as seen.
  private(set) var low: Float = 0
  private(set) var high: Float = 0

  /// Squares of float32 cannot overflow a double, so only infinity and NaN show here, and they stay.
  var isFinite: Bool { sumOfSquares.isFinite }
  var meanSquare: Double { count == 0 ? 0 : sumOfSquares / Double(count) }

  /// Adds a sample's elements.
  mutating func add(_ elements: [Float]) {
    for element in elements {
      low = min(low, element)
      high = max(high, element)
      sumOfSquares += Double(element) * Double(element)
    }
    count += elements.count
  }

  /// Takes another range than what was seen.
  mutating func clip(low: Float, high: Float) {
    self.low = low
    self.high = high
  }

  mutating func merge(_ other: ActivationStatistics) {
    count += other.count
    sumOfSquares += other.sumOfSquares
    low = min(low, other.low)
    high = max(high, other.high)
  }
}
