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
    /// Weights that are rounded together; none to round each alone.
    var blocks: [ErrorFeedback.Block] = []
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
      var shift = naturalShift(peak(terms, channel, of: bias.count))
      while !fits(terms, bias, channel, shift: shift) {
        shift -= 1
        if shift < 0 { return nil }
      }
      result.shift[channel] = shift
      result.bias[channel] = integerBias(bias[channel], shift: shift)
    }
    let factors = terms.map { term in result.shift.map { term.inputScale * power($0) / outputScale } }
    result.weights = zip(terms, factors).map { $0.integers(format, factors: $1) }
    for channel in bias.indices {
      let sums = result.weights.reduce(0) { sum, integers in
        let count = integers.count / bias.count
        return sum + integers[channel * count..<(channel + 1) * count].reduce(0) { $0 + abs(Int($1)) }
      }
      if fits(sums, bias[channel], shift: result.shift[channel]) { continue }
      // What was rounded together is larger than each alone, for which the shift was chosen.
      for (index, term) in terms.enumerated() {
        for position in range(term, channel, of: bias.count) {
          result.weights[index][position] = Int8(
            integerWeight(term.weights[position], factors[index][channel]))
        }
      }
    }
    return result
  }

  /// Expected square of the error that rounding the weights makes in one output, averaged over channels.
  func weightNoise(_ terms: [Term], channels: Int) -> Double {
    weightNoise(terms, peaks: (0..<channels).map { peak(terms, $0, of: channels) })
  }

  /// - Parameter peaks: see ``peak(_:_:of:)``.
  func weightNoise(_ terms: [Term], peaks: [Double]) -> Double {
    let channels = peaks.count
    var sum = 0.0
    for peak in peaks {
      let shift = naturalShift(peak)
      for term in terms {
        let step = outputScale / power(shift) / term.inputScale
        sum += step * step / 12 * term.meanSquare * Double(term.weights.count / channels)
      }
    }
    return sum / Double(channels)
  }

  /// The smallest of the channels' shifts.
  func leastShift(_ terms: [Term], channels: Int) -> Int {
    (0..<channels).map { naturalShift(peak(terms, $0, of: channels)) }.min() ?? 0
  }

  private func range(_ term: Term, _ channel: Int, of channels: Int) -> Range<Int> {
    let count = term.weights.count / channels
    return channel * count..<(channel + 1) * count
  }

  /// What the largest weight of a channel makes of one step of its input.
  func peak(_ terms: [Term], _ channel: Int, of channels: Int) -> Double {
    terms.reduce(0.0) { largest, term in
      let peak = term.row(channel, of: channels).reduce(0) { max($0, abs($1)) }
      return max(largest, Double(peak) * term.inputScale)
    }
  }

  /// The largest shift with which no weight exceeds its bits.
  private func naturalShift(_ peak: Double) -> Int {
    let largest = peak / outputScale
    guard largest > 0 else { return IntegerFormat.shiftMax }
    // Up to just below one half above the last integer, which is where that one rounds to.
    let room = (Double(format.weights.upperBound) + 0.499) / largest
    return min(max(Int(min(room, 1e300).exponent), 0), IntegerFormat.shiftMax)
  }

  /// That no order of summation leaves 32 bits, whatever the inputs.
  private func fits(_ terms: [Term], _ bias: [Float], _ channel: Int, shift: Int) -> Bool {
    var sum = 0
    for term in terms {
      let factor = term.inputScale * power(shift) / outputScale
      for position in range(term, channel, of: bias.count) {
        sum += abs(integerWeight(term.weights[position], factor))
      }
    }
    return fits(sum, bias[channel], shift: shift)
  }

  /// - Parameter sum: of all weights of a channel, without their signs.
  private func fits(_ sum: Int, _ bias: Float, shift: Int) -> Bool {
    // Without a shift, a bias that saturates the output may as well be clipped.
    let constant = abs(shift > 0 ? realBias(bias, shift: shift) : Double(integerBias(bias, shift: 0)))
    // The last is the zero point of the output and what late terms add, with their zero points.
    let bound =
      constant + Double(sum * format.span)
      + Double(format.span) * Double(2 * lateWeight + 1 << lateShift) * power(shift)
    return bound <= Double(Int32.max / (hasLeak ? 2 : 1))
  }

  private func integerWeight(_ weight: Float, _ factor: Double) -> Int {
    format.weight(Double(weight) * factor)
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

extension LinearQuantizer.Term {
  /// The weights of an output channel.
  func row(_ channel: Int, of channels: Int) -> ArraySlice<Float> {
    let count = weights.count / channels
    return weights[channel * count..<(channel + 1) * count]
  }

  /// The weights as integers.
  ///
  /// - Parameter factors: how many integers a weight of 1 is, by output channel.
  func integers(_ format: IntegerFormat, factors: [Double]) -> [Int8] {
    let perOutput = weights.count / factors.count
    var result = weights.indices.map { position in
      Int8(format.weight(Double(weights[position]) * factors[position / perOutput]))
    }
    guard !blocks.isEmpty else { return result }
    let exact = weights.indices.map { position in
      Float(Double(weights[position]) * factors[position / perOutput])
    }
    for block in blocks { block.round(exact, into: &result, perOutput: perOutput, limits: format.weights) }
    return result
  }

  /// Sum of the squares of what rounding and clipping change in a channel's weights, in integers.
  func roundingError(_ channel: Int, of channels: Int, factor: Double, most: Double) -> Double {
    var sum = 0.0
    for weight in row(channel, of: channels) {
      let exact = Double(weight) * factor
      let error = exact - min(max(exact.rounded(.toNearestOrEven), -most), most)
      sum += error * error
    }
    return sum
  }
}
