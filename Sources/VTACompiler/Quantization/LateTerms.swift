/// Bits below the output's step that a sum keeps until its late terms are added.
enum LateTerms {
  /// With fewer, a late term could not say what it weighs.
  static let shiftMin = 3
  private static let shiftMax = 6
  /// Where sums are multiplied, products have fewer bits to spare.
  private static let multipliedShiftMax = 4

  /// As many as the weights of the other terms allow: what is shifted later has to be left over by the first shift.
  ///
  /// - Parameter scales: of all values of the graph.
  static func shiftMax(
    _ layer: LinearLayer, _ scales: [Double], output: Int, _ format: IntegerFormat
  ) -> Int {
    let quantizer = LinearQuantizer(format: format, outputScale: scales[output])
    let terms = layer.terms.filter { !$0.isLate }.map {
      LinearQuantizer.Term(
        weights: $0.expandedWeights(channels: layer.bias.count), inputScale: scales[$0.input],
        weightScales: $0.weightScales)
    }
    // Scales may still grow by a factor of less than 2.
    return min(
      max(0, quantizer.leastShift(terms, channels: layer.bias.count) - 1),
      format.canMultiply ? multipliedShiftMax : shiftMax)
  }

  /// Integers for late terms whose scales are settled.
  static func nearest(
    _ layer: LinearLayer, _ scales: ScaleGroups, output: Int, shift: Int, _ format: IntegerFormat
  ) -> ScalePlan.Uniform {
    let unit = scales.scale(output) / Double(1 << shift)
    return ScalePlan.Uniform(
      weights: layer.terms.filter(\.isLate).map { term in
        (term.givenWeights ?? []).map { given in
          let exact = (Double(given.weight) * scales.scale(term.input) / unit).rounded()
          return Int(min(max(exact, Double(format.weights.lowerBound)), Double(format.weights.upperBound)))
        }
      }, shift: shift)
  }
}
