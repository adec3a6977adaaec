/// Turns a layer with free weights into integers: `sw_o = sy · 2^-n_o / sx` for output channel o.
///
/// The shift n_o is the largest with which the channel's weights fit their bits, so that at most one bit of their
/// range is lost to the missing multiplier.
struct LinearQuantizer {
  let format: IntegerFormat
  let outputScale: Double
  /// That rounding is added later, and that sums may grow to twice their size; see ``Accumulate/leak``.
  var hasLeak = false
  /// Of ``Accumulate``; the output's step is 2^lateShift of `outputScale` then.
  var lateShift = 0
  /// Sum of the magnitudes of late weights.
  var lateWeight = 0

  struct Term {
    /// `outputChannels × weights per channel`.
    var weights: [Float]
    var inputScale: Double
    /// Of the input, in real units; for the estimate of the error.
    var meanSquare = 0.0
    /// Per output channel what an integer of given weights stands for.
    var weightScales: [Float]?
  }
  struct Result {
    var weights: [[Int8]]
    var bias: [Int32]
    var shift: [Int]
  }

  /// - Returns: `nil` if the sums can leave 32 bits whatever the shift.
  func quantize(_ terms: [Term], bias: [Float]) -> Result? {
    var result = Result(
      weights: terms.map { [Int8](repeating: 0, count: $0.weights.count) },
      bias: [Int32](repeating: 0, count: bias.count), shift: [Int](repeating: 0, count: bias.count))
    for channel in bias.indices {
      var shift = naturalShift(terms, channel, of: bias.count)
      while !fits(terms, bias, channel, shift: shift) {
        shift -= 1
        if shift < 0 { return nil }
      }
      result.shift[channel] = shift
      result.bias[channel] = integerBias(bias[channel], shift: shift)
      for (index, term) in terms.enumerated() {
        let factor = term.inputScale * power(shift) / outputScale
        for position in range(term, channel, of: bias.count) {
          result.weights[index][position] = Int8(integerWeight(term.weights[position], factor))
        }
      }
    }
    return result
  }

  /// Expected square of the error that rounding the weights makes in one output, averaged over channels.
  func weightNoise(_ terms: [Term], channels: Int) -> Double {
    var sum = 0.0
    for channel in 0..<channels {
      let shift = naturalShift(terms, channel, of: channels)
      for term in terms {
        let step = outputScale / power(shift) / term.inputScale
        sum += step * step / 12 * term.meanSquare * Double(term.weights.count / channels)
      }
    }
    return sum / Double(channels)
  }

  /// The smallest of the channels' shifts.
  func leastShift(_ terms: [Term], channels: Int) -> Int {
    (0..<channels).map { naturalShift(terms, $0, of: channels) }.min() ?? 0
  }

  private func range(_ term: Term, _ channel: Int, of channels: Int) -> Range<Int> {
    let count = term.weights.count / channels
    return channel * count..<(channel + 1) * count
  }

  /// The largest shift with which no weight exceeds its bits.
  private func naturalShift(_ terms: [Term], _ channel: Int, of channels: Int) -> Int {
    var largest = 0.0
    for term in terms {
      var peak: Float = 0
      for position in range(term, channel, of: channels) { peak = max(peak, abs(term.weights[position])) }
      largest = max(largest, Double(peak) * term.inputScale / outputScale)
    }
    guard largest > 0 else { return IntegerFormat.shiftMax }
    // Up to just below one half above the last integer, which is where that one rounds to.
    let room = (Double(format.weights.upperBound) + 0.499) / largest
    return min(max(Int(min(room, 1e300).exponent), 0), IntegerFormat.shiftMax)
  }

  /// That no order of summation leaves 32 bits, whatever the inputs.
  private func fits(_ terms: [Term], _ bias: [Float], _ channel: Int, shift: Int) -> Bool {
    // Without a shift, a bias that saturates the output may as well be clipped.
    var bound = abs(
      shift > 0 ? realBias(bias[channel], shift: shift) : Double(integerBias(bias[channel], shift: 0)))
    for term in terms {
      let factor = term.inputScale * power(shift) / outputScale
      var sum = 0
      for position in range(term, channel, of: bias.count) {
        sum += abs(integerWeight(term.weights[position], factor))
      }
      bound += Double(sum * format.span)
    }
    // The zero point of the output and what late terms add, with their zero points.
    bound += Double(format.span) * Double(2 * lateWeight + 1 << lateShift) * power(shift)
    return bound <= Double(Int32.max / (hasLeak ? 2 : 1))
  }

  private func integerWeight(_ weight: Float, _ factor: Double) -> Int {
    let limits = format.weights
    let value = (Double(weight) * factor).rounded(.toNearestOrEven)
    return Int(min(max(value, Double(limits.lowerBound)), Double(limits.upperBound)))
  }

  /// Rounding half up comes with the bias, unless a slope comes between.
  private func realBias(_ bias: Float, shift: Int) -> Double {
    (Double(bias) / outputScale * power(shift)).rounded(.toNearestOrEven)
      + (shift > 0 && !hasLeak ? power(shift - 1) : 0)
  }

  /// A bias beyond this range saturates the output whatever the inputs add.
  func integerBias(_ bias: Float, shift: Int) -> Int32 {
    Int32(min(max(realBias(bias, shift: shift), -0x4000_0000), 0x4000_0000))
  }

  private func power(_ exponent: Int) -> Double { Double(sign: .plus, exponent: exponent, significand: 1) }
}
