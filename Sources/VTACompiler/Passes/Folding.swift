extension Graph {
  /// Folds layers that only scale, shift or clip each channel (BatchNormalization, a constant Add, Relu, LeakyRelu, Clip) into
  /// the layer that computes their input, if nothing else reads it.
  mutating func foldScalesAndClips() throws(CompileError) {
    // A clip keeps the integers of a quantized model.
    for node in nodes {
      guard case .linear(let layer) = node.operation, let input = layer.perChannelInput, layer.isClip,
        values[node.output].quantization == nil
      else { continue }
      values[node.output].quantization = values[input].quantization
    }
    let uses = consumers().map(\.count)
    let outputs = Set(outputs.map(\.value))
    var result: [GraphNode] = []
    /// Index in `result` of the node that computes a value.
    var producers: [Int: Int] = [:]
    for node in nodes {
      if case .linear(let layer) = node.operation, let input = layer.perChannelInput,
        uses[input] == 1, !outputs.contains(input), keepsIntegers(of: input, layer, node.output),
        let index = producers[input],
        let folded = result[index].operation.followed(by: layer)
      {
        if case .linear(let layer) = folded, !layer.isFinite {
          throw CompileError(
            "\(node.operators[0]) \(quoted(node.name))",
            "folding it into \(quoted(result[index].name)) overflows",
            remedy: "check the weights of both")
        }
        result[index].operation = folded
        result[index].operators += node.operators
        result[index].output = node.output
        producers[node.output] = index
      } else {
        producers[node.output] = result.count
        result.append(node)
      }
    }
    nodes = result
  }

  /// That no integers of a quantized model come between a value and what a layer makes of it. Where they do, they saturate: an
  /// exporter leaves out a Relu whose range they have.
  private func keepsIntegers(of input: Int, _ layer: LinearLayer, _ output: Int) -> Bool {
    let quantization = values[input].quantization
    return quantization == nil || (layer.isClip && quantization == values[output].quantization)
  }
}

extension LinearLayer {
  /// The input of a layer that treats each position alone and each channel alone; `nil` for others.
  fileprivate var perChannelInput: Int? {
    guard terms.count == 1, terms[0].isPointwise else { return nil }
    switch terms[0].weights {
    case .uniform, .depthwise: return terms[0].input
    case .dense, .grouped, .positional, .selection: return nil
    }
  }

  fileprivate var isClip: Bool {
    guard case .uniform(1) = terms[0].weights else { return false }
    return slope == 1 && bias.allSatisfy { $0 == 0 }
  }

  /// Factor per channel of a layer with a ``perChannelInput``.
  fileprivate var factors: [Float] {
    switch terms[0].weights {
    case .uniform(let factor): [Float](repeating: factor, count: bias.count)
    case .selection: []
    case .depthwise(let factors), .dense(let factors), .grouped(let factors, _), .positional(let factors):
      factors
    }
  }
}

extension Operation {
  /// This operation and then a per-channel layer, as one; `nil` if that is not of the same form.
  fileprivate func followed(by next: LinearLayer) -> Operation? {
    switch self {
    case .linear(var layer):
      if next.isClip {
        layer.bounds = layer.bounds.followed(by: next.bounds)
        return .linear(layer)
      }
      guard layer.bounds == .none, layer.slope == 1 else { return nil }
      let factors = next.factors
      let terms = layer.terms.compactMap { $0.scaled(by: factors) }
      guard terms.count == layer.terms.count else { return nil }
      layer.terms = terms
      layer.bias = layer.bias.indices.map { layer.bias[$0] * factors[$0] + next.bias[$0] }
      layer.slope = next.slope
      layer.bounds = next.bounds
      return .linear(layer)
    case .maxPool(var pool):
      guard next.isClip else { return nil }
      pool.bounds = pool.bounds.followed(by: next.bounds)
      return .maxPool(pool)
    case .reshape, .softmax, .host, .constant:
      return nil
    }
  }
}

extension LinearTerm {
  /// The term times a factor per output channel; `nil` if its weights cannot differ by channel.
  fileprivate func scaled(by factors: [Float]) -> LinearTerm? {
    var result = self
    result.weightScales = weightScales.map { zip($0, factors).map { $0 * abs($1) } }
    switch weights {
    case .dense(let values): result.weights = .dense(Self.scaled(values, by: factors))
    case .grouped(let values, let groups):
      result.weights = .grouped(Self.scaled(values, by: factors), groups: groups)
    case .depthwise(let values): result.weights = .depthwise(Self.scaled(values, by: factors))
    case .uniform(let weight):
      if let first = factors.first, factors.allSatisfy({ $0 == first }) {
        result.weights = .uniform(weight * first)
      } else {
        let taps = window.kernel.height * window.kernel.width
        result.weights = .depthwise(factors.flatMap { [Float](repeating: weight * $0, count: taps) })
      }
    case .positional, .selection: return nil
    }
    return result
  }

  private static func scaled(_ values: [Float], by factors: [Float]) -> [Float] {
    let perChannel = values.count / factors.count
    var result = values
    for channel in factors.indices {
      for index in channel * perChannel..<(channel + 1) * perChannel { result[index] *= factors[channel] }
    }
    return result
  }
}
