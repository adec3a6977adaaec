/// The slope of a LeakyRelu as a sum of powers of two, which every accelerator can compute by shifts and additions.
struct LeakySlope: Hashable, Sendable {
  /// The largest slope that four powers of two reach.
  static let largest: Float = 0.9375
  private static let termsMax = 4
  private static let exponentMax = 12

  private let wanted: Float
  /// Of the powers of one half, ascending.
  private let exponents: [Int]

  /// The fewest powers with which no output is a quarter of a step off, or the nearest sum of four.
  ///
  /// - Returns: `nil` for a slope of 1, where there is nothing to do.
  init?(_ slope: Float, _ format: IntegerFormat) {
    if slope == 1 { return nil }
    let tolerance = 0.25 / Double(-format.activations.lowerBound)
    var best: (error: Double, exponents: [Int]) = (.infinity, [])
    for count in 1...Self.termsMax where best.error > tolerance {
      for exponents in Self.subsets(of: 1...Self.exponentMax, count) {
        let error = abs(Self.sum(exponents) - Double(slope))
        if error < best.error { best = (error, exponents) }
      }
    }
    wanted = slope
    exponents = best.exponents
  }

  /// See ``Accumulate/leak``: the smallest power first.
  var shifts: [Int] {
    zip(exponents, [0] + exponents).map { $0 - $1 }.reversed()
  }

  /// For the report.
  var sentence: String {
    let powers = exponents.map { "1/\(1 << $0)" }.joined(separator: " + ")
    let sum = Self.sum(exponents)
    return "slope \(wanted)" + (Float(sum) == wanted ? "" : " taken as \(Float(sum))") + " = \(powers)"
  }

  private static func sum(_ exponents: [Int]) -> Double {
    exponents.reduce(0) { $0 + Double(sign: .plus, exponent: -$1, significand: 1) }
  }

  private static func subsets(of range: ClosedRange<Int>, _ count: Int) -> [[Int]] {
    if count == 0 { return [[]] }
    return range.flatMap { first in
      first == range.upperBound
        ? (count == 1 ? [[first]] : [])
        : subsets(of: first + 1...range.upperBound, count - 1).map { [first] + $0 }
    }
  }
}

extension ScalePlan.Uniform {
  private static let fractionBits = 7

  /// The same factor with a larger shift, as far as weights and sums allow.
  ///
  /// - Parameter taps: kernel positions by term.
  func withFractionBits(_ format: IntegerFormat, taps: [Int]) -> Self {
    var result = self
    while result.shift < Self.fractionBits {
      let doubled = result.weights.map { $0.map { 2 * $0 } }
      let sum = zip(doubled, taps).reduce(0) { $0 + ($1.0.map { abs($0) }.max() ?? 0) * $1.1 }
      guard doubled.joined().allSatisfy({ format.weights.contains($0) }),
        sum * format.span <= Int(Int32.max / 8)
      else { break }
      result = Self(weights: doubled, shift: result.shift + 1)
    }
    return result
  }
}
