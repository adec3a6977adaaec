/// What calibration saw of one value.
struct ActivationStatistics: Sendable {
  private(set) var count = 0
  private(set) var sumOfSquares = 0.0
  /// Largest magnitude.
  private(set) var largest: Float = 0

  /// Squares of float32 cannot overflow a double, so only infinity and NaN show here, and they stay.
  var isFinite: Bool { sumOfSquares.isFinite }
  var meanSquare: Double { count == 0 ? 0 : sumOfSquares / Double(count) }

  /// Adds a sample's elements.
  mutating func add(_ elements: [Float]) {
    for element in elements {
      largest = max(largest, abs(element))
      sumOfSquares += Double(element) * Double(element)
    }
    count += elements.count
  }

  mutating func merge(_ other: ActivationStatistics) {
    count += other.count
    sumOfSquares += other.sumOfSquares
    largest = max(largest, other.largest)
  }
}
