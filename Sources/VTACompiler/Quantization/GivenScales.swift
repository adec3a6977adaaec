/// Layers with given weights in a quantized model, whose scales are given too: the ratios of scales become integers.
enum GivenScales {
  /// Terms that repeat an input, so that its factor has more bits than one weight.
  static let repeatsMax = 4

  /// By index of the node.
  static func uniform(_ graph: Graph, _ scales: [Double], _ format: IntegerFormat) -> [Int: ScalePlan.Uniform]
  {
    var result: [Int: ScalePlan.Uniform] = [:]
    for (index, node) in graph.nodes.enumerated() {
      guard case .linear(let layer) = node.operation else { continue }
      let given = layer.terms.compactMap(\.givenWeights)
      guard given.count == layer.terms.count else { continue }
      result[index] = uniform(layer, given, scales, output: scales[node.output], format)
    }
    return result
  }

  private static func uniform(
    _ layer: LinearLayer, _ given: [[(weight: Float, share: Double)]], _ scales: [Double], output: Double,
    _ format: IntegerFormat
  ) -> ScalePlan.Uniform? {
    let ratios = zip(layer.terms, given).map { term, given in
      given.map { Double($0.weight) * scales[term.input] / output }
    }
    var best: ScalePlan.Uniform?
    for shift in 0...IntegerFormat.uniformShiftMax {
      let power = Double(sign: .plus, exponent: shift, significand: 1)
      var sum = 0.0
      let fits = zip(layer.terms, ratios).allSatisfy { term, ratios in
        let canRepeat = if case .uniform = term.weights { term.isPointwise } else { false }
        let most = Double(format.weights.upperBound * (canRepeat ? repeatsMax : 1))
        sum += (ratios.map { abs($0) }.max() ?? 0) * power * Double(term.window.taps)
        return ratios.allSatisfy { abs($0 * power) < most + 0.5 }
      }
      guard fits, sum * Double(format.span) < Double(Int32.max / 4) else { break }
      let weights = ratios.map { $0.map { Int(($0 * power).rounded()) } }
      best = ScalePlan.Uniform(weights: weights, shift: shift)
      // Exact ratios gain nothing from more bits.
      if zip(ratios.joined(), weights.joined()).allSatisfy({ $0 * power == Double($1) }) { break }
    }
    return best
  }
}
