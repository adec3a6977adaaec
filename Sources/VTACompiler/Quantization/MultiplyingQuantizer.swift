/// Turns a layer with free weights into integers where the accelerator can multiply sums: the largest weight of each
/// channel takes all bits, and a factor of 15 bits brings the sum to the output's scale.
struct MultiplyingQuantizer {
  /// Bits below the output's step that are kept when a sum is multiplied.
  private static let fractionBits = 4
  private static let factorBits = 15
  /// Products stay below 2^30, so that a slope and the rounding can be added.
  private static let productMax = Double(1 << 30)
  private static let biasMax = Double(1 << 29)

  let format: IntegerFormat
  /// Of the shifted sum: with late terms, finer than the output's.
  let outputScale: Double
  var lateShift = 0

  struct Result {
    var weights: [[Int8]]
    var bias: [Int32]
    var shift: Int
    var multiplier: Multiplier
    /// What one integer of a channel's sum stands for.
    var units: [Double]
  }

  func quantize(_ terms: [LinearQuantizer.Term], bias: [Float]) -> Result? {
    var units = bias.indices.map { unit(terms, $0, of: bias) }
    guard let (multiplier, shift) = Self.factors(units.map { $0 / outputScale }, lateShift: lateShift) else {
      return nil
    }
    if !Self.areGiven(terms) {
      // Weights make up for what rounding the factors changed.
      let step = outputScale * Double(sign: .plus, exponent: -multiplier.preShift - shift, significand: 1)
      units = multiplier.factor.map { Double($0) * step }
    }
    var result = Result(
      weights: terms.map { term in term.integers(format, factors: units.map { term.inputScale / $0 }) },
      bias: [], shift: shift, multiplier: multiplier, units: units)
    let rounding = multiplier.preShift > 0 ? 1 << (multiplier.preShift - 1) : 0
    for channel in bias.indices {
      let sum = zip(terms, result.weights).reduce(0) { sum, pair in
        let count = pair.1.count / bias.count
        return sum + pair.1[channel * count..<(channel + 1) * count].reduce(0) { $0 + abs(Int($1)) }
      }
      let value = (Double(bias[channel]) / units[channel]).rounded(.toNearestOrEven) + Double(rounding)
      guard abs(value) + Double(sum) * Double(format.span) < Double(Int32.max) else { return nil }
      result.bias.append(Int32(value))
    }
    return result
  }

  /// That the weights are integers of a quantized model, which are kept.
  private static func areGiven(_ terms: [LinearQuantizer.Term]) -> Bool {
    terms.count == 1 && terms[0].weightScales != nil
  }

  /// Factors `f` as `factor · 2^-(preShift + shift)`.
  ///
  /// - Returns: `nil` if they differ too much or are too large for the accelerator's 32 bits.
  static func factors(_ factors: [Double], lateShift: Int = 0) -> (multiplier: Multiplier, shift: Int)? {
    guard let most = factors.max(), most > 0, most.isFinite else { return nil }
    // The largest factor has 15 bits, or fewer where the result needs them.
    let total = factorBits - max(0, lateShift - 1) - 1 - Int(most.exponent)
    let preShift = min(max(0, -Int(most.exponent) - 1 - fractionBits), 15)
    let shift = total - preShift
    guard (1...30).contains(shift) else { return nil }
    var multiplier = Multiplier(preShift: preShift, limit: [], factor: [])
    for factor in factors {
      // With few bits, a smaller factor would make weights too large.
      let integer = max(
        1,
        Int(
          (factor * Double(sign: .plus, exponent: total, significand: 1)).rounded(
            lateShift > 0 ? .up : .toNearestOrAwayFromZero)))
      multiplier.factor.append(Int32(integer))
      multiplier.limit.append(Int32(min(productMax / Double(integer), productMax)))
    }
    // What a limit cuts off must saturate the output, zero point included.
    let isHarmless = zip(multiplier.limit, multiplier.factor).allSatisfy {
      (Int($0) * Int($1)) >> shift >= 1 << (lateShift > 0 ? 10 + lateShift : 9)
    }
    return isHarmless ? (multiplier, shift) : nil
  }

  /// What one integer of a channel's sum stands for.
  private func unit(_ terms: [LinearQuantizer.Term], _ channel: Int, of bias: [Float]) -> Double {
    if Self.areGiven(terms), let scales = terms[0].weightScales {
      return Double(scales[channel]) * terms[0].inputScale
    }
    var largest = LinearQuantizer(format: format, outputScale: outputScale).peak(
      terms, channel, of: bias.count)
    largest *= clipping(terms, channel, of: bias.count, largest: largest)
    // Finer than any output can show is of no use, and a bias must fit.
    return max(
      largest / Double(format.weights.upperBound), abs(Double(bias[channel])) / Self.biasMax,
      outputScale * Double(sign: .plus, exponent: -18, significand: 1))
  }

  /// The share of the largest weight that the largest integer should stand for, so that clipping and rounding together lose
  /// least. With eight bits there is nothing to gain.
  private func clipping(
    _ terms: [LinearQuantizer.Term], _ channel: Int, of channels: Int, largest: Double
  ) -> Double {
    guard format.weightBits < 8, largest > 0 else { return 1 }
    var best = (error: Double.infinity, share: 1.0)
    for step in (20...50).reversed() {
      let share = Double(step) / 50
      let factor = Double(format.weights.upperBound) / (largest * share)
      var error = 0.0
      for term in terms {
        error += term.roundingError(
          channel, of: channels, factor: term.inputScale * factor, most: Double(format.weights.upperBound))
      }
      error /= factor * factor
      if error < best.error { best = (error, share) }
    }
    return best.share
  }
}
