extension Graph {
  /// Makes additions part of the convolution before them: two convolutions share one accumulator where that rounds less
  /// than to quantize each result and add then; any other activation is added to the convolution's sum when that has been
  /// shifted to a fraction of the output's step. (In the sum itself it would need the weight 2^n of the convolution's
  /// shift n, and weights of 8 bits end at 127.)
  mutating func fuseAdditions(_ statistics: [ActivationStatistics], _ format: IntegerFormat) {
    // A quantized model says where it rounds.
    if isQuantized { return }
    let scales = ScalePlan.preferredScales(self, statistics, format)
    let uses = consumers().map(\.count)
    let producers = producers()
    var removed: Set<Int> = []
    for index in nodes.indices {
      guard case .linear(let sum) = nodes[index].operation, sum.isAddition else { continue }
      let operands = sum.terms.compactMap { term in
        fusible(producers[term.input], uses: uses[term.input])
      }
      guard operands.count == 2 else { continue }
      let fused = LinearLayer(
        terms: operands.flatMap(\.layer.terms),
        bias: sum.bias.indices.map { sum.bias[$0] + operands[0].layer.bias[$0] + operands[1].layer.bias[$0] },
        slope: sum.slope, bounds: sum.bounds)
      func noise(_ layer: LinearLayer, _ output: Int) -> Double {
        LinearQuantizer(format: format, outputScale: scales[output]).weightNoise(
          layer.terms.map {
            .init($0, channels: layer.bias.count, scale: scales[$0.input], statistics[$0.input])
          }, channels: layer.bias.count)
      }
      let apart = operands.reduce(0.0) { sum, operand in
        let output = nodes[operand.index].output
        return sum + noise(operand.layer, output) + scales[output] * scales[output] / 12
      }
      guard fused.isFinite, noise(fused, nodes[index].output) <= apart else { continue }
      nodes[index].operation = .linear(fused)
      nodes[index].operators = operands.flatMap { nodes[$0.index].operators } + nodes[index].operators
      removed.formUnion(operands.map(\.index))
    }
    for index in nodes.indices where !removed.contains(index) {
      guard case .linear(let sum) = nodes[index].operation, sum.isAddition, sum.slope == 1,
        let (producer, fused) = fusedLate(index, sum, producers, uses),
        LateTerms.shiftMax(fused, scales, output: nodes[index].output, format) >= LateTerms.shiftMin
      else { continue }
      nodes[index].operation = .linear(fused)
      nodes[index].operators = nodes[producer].operators + nodes[index].operators
      removed.insert(producer)
    }
    nodes = nodes.indices.filter { !removed.contains($0) }.map { nodes[$0] }
  }

  /// An addition as part of the last layer that it can be part of.
  private func fusedLate(
    _ index: Int, _ sum: LinearLayer, _ producers: [Int?], _ uses: [Int]
  ) -> (producer: Int, layer: LinearLayer)? {
    var best: (producer: Int, layer: LinearLayer)?
    for (own, other) in [(0, 1), (1, 0)] {
      let value = sum.terms[own].input
      guard let producer = producers[value], uses[value] == 1, !isOutput(value),
        producer > best?.producer ?? -1, case .linear(var layer) = nodes[producer].operation,
        layer.bounds == .none, layer.slope == 1,
        layer.terms.allSatisfy({ !$0.isLate && $0.givenWeights == nil && $0.places == .all })
      else { continue }
      var late = sum.terms[other]
      late.isLate = true
      layer.terms.append(late)
      layer.bias = zip(layer.bias, sum.bias).map { $0 + $1 }
      layer.bounds = sum.bounds
      if layer.isFinite { best = (producer, layer) }
    }
    return best
  }

  /// A layer with free weights and no activation function whose result only the addition reads.
  private func fusible(_ index: Int?, uses: Int) -> (index: Int, layer: LinearLayer)? {
    guard let index, uses == 1, !isOutput(nodes[index].output),
      case .linear(let layer) = nodes[index].operation, layer.bounds == .none, layer.slope == 1,
      layer.terms.allSatisfy({ $0.isMatrixProduct })
    else { return nil }
    return (index, layer)
  }
}

extension LinearLayer {
  /// Two activations added, each as it is.
  fileprivate var isAddition: Bool {
    terms.count == 2
      && terms.allSatisfy { term in
        guard case .uniform(1) = term.weights else { return false }
        return term.isPointwise
      }
  }
}

extension LinearQuantizer.Term {
  init(
    _ term: LinearTerm, channels: Int, scale: Double, _ statistics: ActivationStatistics,
    _ blocks: [ErrorFeedback.Block] = []
  ) {
    self.init(
      weights: term.expandedWeights(channels: channels), inputScale: scale, meanSquare: statistics.meanSquare,
      weightScales: term.weightScales, blocks: blocks)
  }
}

extension LinearTerm {
  /// That an output is a sum over several input channels.
  var isMatrixProduct: Bool {
    switch weights {
    case .dense, .grouped: true
    case .depthwise, .uniform, .positional, .selection: false
    }
  }

  /// The weights one by one: uniform ones per channel and position of the kernel, others as they are.
  func expandedWeights(channels: Int) -> [Float] {
    switch weights {
    case .dense(let values), .grouped(let values, _), .depthwise(let values), .positional(let values): values
    case .uniform(let weight):
      [Float](repeating: weight, count: channels * window.kernel.height * window.kernel.width)
    case .selection: []
    }
  }
}
