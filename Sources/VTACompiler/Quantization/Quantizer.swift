internal import VTA
internal import VTAModule

/// Makes the integer network of a float network and what calibration saw of it.
struct Quantizer {
  private let graph: Graph
  private let statistics: [ActivationStatistics]
  private let format: IntegerFormat
  private let plan: ScalePlan
  private let options: QuantizationOptions
  private var feedback: ErrorFeedback?
  private var result: QuantizedGraph
  /// Index in `result.values` of a value of the graph.
  private var deviceValues: [Int: Int] = [:]
  /// Tensor on the host that holds a value of the graph.
  private var hostTensors: [Int: HostTensorName] = [:]
  private var stepNames = UniqueNames()
  private var valueNames = UniqueNames()

  /// - Returns: the integer network, and the float network that it is made of layer by layer.
  ///
  /// - Parameter graph: simplified; see ``Graph/removeReshapes()`` and ``Graph/foldScalesAndClips()``.
  static func quantize(
    _ graph: Graph, _ statistics: [ActivationStatistics], _ format: IntegerFormat,
    _ options: QuantizationOptions = QuantizationOptions(), samples: CalibrationSamples? = nil,
    progress: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) throws(CompileError) -> (graph: QuantizedGraph, fused: Graph) {
    var (graph, statistics) = (graph, statistics)
    if options.equalizes, !graph.isQuantized { graph.equalizeChannels(&statistics) }
    graph.fuseAdditions(statistics, format)
    var quantizer = Quantizer(graph, statistics, format, options)
    if options.feedsErrorsBack, !graph.isQuantized, let samples {
      quantizer.feedback = ErrorFeedback(graph, samples, isCentred: options.correctsBias, progress: progress)
    }
    for (index, node) in graph.nodes.enumerated() { try quantizer.lower(node, index) }
    quantizer.lowerOutputs()
    for value in quantizer.result.values where !value.scale.isNormal {
      throw CompileError(
        "value \(quoted(value.name))", "its range in the calibration samples is beyond float32",
        remedy: "check the samples and the weights")
    }
    return (quantizer.result, graph)
  }

  private init(
    _ graph: Graph, _ statistics: [ActivationStatistics], _ format: IntegerFormat,
    _ options: QuantizationOptions
  ) {
    self.graph = graph
    self.statistics = statistics
    self.format = format
    self.options = options
    plan = ScalePlan(graph, statistics, format, options.scales)
    func tensor(_ name: String, _ value: Int) -> ModelTensor {
      ModelTensor(name: name, dataType: .fp32, shape: graph.values[value].shape)
    }
    result = QuantizedGraph(
      name: graph.name, inputs: graph.inputs.map { tensor(graph.values[$0].name, $0) },
      outputs: graph.outputs.map { tensor($0.name, $0.value) }, values: [], steps: [])
    for input in graph.inputs { hostTensors[input] = graph.values[input].name }
  }

  // MARK: Nodes

  private mutating func lower(_ node: GraphNode, _ index: Int) throws(CompileError) {
    switch node.operation {
    case .linear(let layer):
      for term in layer.terms { quantizeInput(term.input) }
      let (operation, why) = try accumulate(layer, node, index, plan.uniform[index])
      append(node, why, .accumulate(operation, output: addValue(node.output)))
    case .maxPool(let pool):
      quantizeInput(pool.input)
      let (low, high) = format.clip(
        pool.bounds, scale: plan.scale(node.output), zeroPoint: plan.zeroPoint(node.output))
      let operation = MaxPool(
        input: device(pool.input), kernel: pool.window.kernel.pair, stride: pool.window.stride.pair,
        padding: pool.window.padding, low: low, high: high)
      append(node, "maximum of shifted tiles in the ALU", .maxPool(operation, output: addValue(node.output)))
    case .reshape(let input):
      // The host arranges an input's elements when it quantizes them; see `quantizeInput`.
      if graph.inputs.contains(input), !isNeededOnHost(node.output) { return }
      let from = onHost(input)
      hostTensors[node.output] = hostName(node.output)
      append(
        node, reasonToArrange(node.output),
        .reshape(input: from, output: hostName(node.output), shape: graph.values[node.output].shape))
    case .softmax(let input, let axis):
      let from = onHost(input)
      hostTensors[node.output] = hostName(node.output)
      append(
        node, "the accelerator has no exponential",
        .softmax(input: from, output: hostName(node.output), axis: axis))
    case .host(let operation, let inputs):
      let from = inputs.map { onHost($0) }
      let output = hostName(node.output)
      hostTensors[node.output] = output
      switch operation {
      case .activate(let function):
        append(
          node,
          function.kind.isExponential
            ? "the accelerator has no exponential"
            : "the accelerator cannot multiply activations",
          .activate(input: from[0], output: output, function: function))
      case .transpose(let permutation):
        append(
          node, reasonToArrange(node.output),
          .transpose(input: from[0], output: output, permutation: permutation))
      case .concatenate(let axis):
        append(
          node, "the accelerator joins channels only, and this is axis \(axis)",
          .concatenate(inputs: from, output: output, axis: axis))
      }
    case .constant(let elements):
      let value = addValue(node.output)
      let (scale, zero) = (plan.scale(node.output), plan.zeroPoint(node.output))
      result.values[value].constant = elements.map {
        Int8(format.integer(Double($0) / scale + Double(zero)))
      }
    }
  }

  /// Why the host changes the order or the shape of a tensor.
  private func reasonToArrange(_ value: Int) -> String {
    let isRead = graph.nodes.contains { node in
      switch node.operation {
      case .linear, .maxPool: node.inputs.contains(value)
      case .reshape, .softmax, .host, .constant: false
      }
    }
    return isRead
      ? "the accelerator keeps channels, height and width, and the next layer needs another order"
      : "only the arrangement of an output changes"
  }

  private mutating func append(_ node: GraphNode, _ why: String, _ operation: QuantizedOperation) {
    result.steps.append(
      QuantizedStep(
        name: stepNames.unique(node.name), op: node.operators.joined(separator: "+"), why: why,
        operation: operation))
  }

  private mutating func addValue(_ value: Int) -> Int {
    let geometry = graph.values[value].geometry
    deviceValues[value] = result.values.count
    result.values.append(
      QuantizedValue(
        name: valueNames.unique(graph.values[value].name), channels: geometry.channels,
        height: geometry.height,
        width: geometry.width, scale: Float(plan.scale(value)), zeroPoint: plan.zeroPoint(value)))
    return result.values.count - 1
  }

  private func device(_ value: Int) -> Int { deviceValues[value] ?? 0 }

  /// Brings a value of the host to the accelerator, if that has not happened yet: a graph input, a reshape of one, or
  /// what a host operation computes.
  private mutating func quantizeInput(_ value: Int) {
    if deviceValues[value] != nil { return }
    var source = hostTensors[value]
    if source == nil, case .reshape(let input) = graph.nodes.first(where: { $0.output == value })?.operation {
      source = hostTensors[input]
    }
    let what = graph.inputs.contains(value) ? "the input is float32" : "the host computes it in float32"
    result.steps.append(
      QuantizedStep(
        name: stepNames.unique("\(graph.values[value].name)/quantize"), op: "QuantizeLinear",
        why: "\(what), and is rounded to \(format.activationBits) bits once",
        operation: .quantize(input: source ?? "", output: addValue(value))))
  }

  // MARK: Host

  private func isNeededOnHost(_ value: Int) -> Bool {
    graph.isOutput(value)
      || graph.nodes.contains { node in
        switch node.operation {
        case .softmax(value, _): true
        case .host(_, let inputs): inputs.contains(value)
        default: false
        }
      }
  }

  /// The name of an output for the value that it is.
  private func hostName(_ value: Int) -> HostTensorName {
    graph.outputs.first { $0.value == value }?.name ?? graph.values[value].name
  }

  /// The tensor with a value's elements, dequantized if the accelerator has it.
  private mutating func onHost(_ value: Int) -> HostTensorName {
    if let name = hostTensors[value] { return name }
    let name = hostName(value)
    hostTensors[value] = name
    result.steps.append(
      QuantizedStep(
        name: stepNames.unique("\(name)/dequantize"), op: "DequantizeLinear",
        why: "outputs are float32: the host multiplies by the scale once",
        operation: .dequantize(input: device(value), output: name, shape: graph.values[value].shape)))
    return name
  }

  private mutating func lowerOutputs() {
    for output in graph.outputs {
      let name = onHost(output.value)
      if name == output.name { continue }
      result.steps.append(
        QuantizedStep(
          name: stepNames.unique("\(output.name)/copy"), op: "Identity",
          why: "the same tensor under another name",
          operation: .reshape(input: name, output: output.name, shape: graph.values[output.value].shape)))
    }
  }
}

/// Names that were given, each made different from those before.
struct UniqueNames {
  private var names: Set<String> = []

  mutating func unique(_ name: String) -> String {
    var (result, number) = (name, 2)
    while !names.insert(result).inserted {
      result = "\(name)_\(number)"
      number += 1
    }
    return result
  }
}

// MARK: - Sums

extension Quantizer {
  private func accumulate(
    _ layer: LinearLayer, _ node: GraphNode, _ index: Int, _ uniform: ScalePlan.Uniform?
  ) throws(CompileError) -> (Accumulate, String) {
    let late = layer.terms.filter(\.isLate)
    var layer = layer
    layer.terms.removeAll(where: \.isLate)
    let (lateWeights, lateShift) = late.isEmpty ? ([], 0) : (uniform?.weights ?? [], uniform?.shift ?? 0)
    let given: ScalePlan.Uniform?
    (layer, given) = layer.repeatingTerms(
      late.isEmpty ? uniform : nil, most: format.weights.upperBound)
    let scale = plan.scale(node.output)
    let leak = LeakySlope(layer.slope, format)
    let sumScale = scale / Double(1 << lateShift)
    let quantizer = LinearQuantizer(
      format: format, outputScale: sumScale, hasLeak: leak != nil, lateShift: lateShift,
      lateWeight: lateWeights.joined().reduce(0) { $0 + abs($1) })
    // The shifts of a slope need bits below the output's.
    let uniform =
      leak == nil ? given : given?.withFractionBits(format, taps: layer.terms.map(\.window.taps))
    let (low, high) = format.clip(layer.bounds, scale: scale, zeroPoint: plan.zeroPoint(node.output))
    let weights: [[Int8]]
    let bias: [Int32]
    let shift: [Int]
    var multiplier: Multiplier?
    if let uniform {
      weights = zip(layer.terms, uniform.weights).map {
        $0.integers($1, channels: layer.bias.count, inputs: graph.values[$0.input].geometry.channels)
      }
      bias = layer.bias.map { quantizer.integerBias($0, shift: uniform.shift) }
      shift = [Int](repeating: uniform.shift, count: bias.count)
    } else {
      guard !layer.terms.contains(where: \.needsGivenWeights) else {
        throw CompileError(
          "\(node.operators[0]) \(quoted(node.name))",
          "the divisors at its edges and inside, or the ranges of its inputs and output, differ too much for "
            + "weights of \(format.weightBits) bits")
      }
      let terms = layer.terms.enumerated().map { place, term in
        LinearQuantizer.Term(
          term, channels: layer.bias.count, scale: plan.scale(term.input), statistics[term.input],
          feedback?.blocks(index, place) ?? [])
      }
      let multiplying = MultiplyingQuantizer(format: format, outputScale: sumScale, lateShift: lateShift)
      if format.canMultiply, var result = multiplying.quantize(terms, bias: layer.bias) {
        if let corrected = corrected(layer, result.weights, { result.units[$1] / plan.scale($0.input) }),
          let again = multiplying.quantize(terms, bias: corrected)
        {
          result = again
        }
        (weights, bias, multiplier) = (result.weights, result.bias, result.multiplier)
        shift = [Int](repeating: result.shift, count: bias.count)
      } else if var result = quantizer.quantize(terms, bias: layer.bias) {
        let unit = { (term: LinearTerm, channel: Int) in
          sumScale / Double(1 << result.shift[channel]) / plan.scale(term.input)
        }
        if let corrected = corrected(layer, result.weights, unit),
          let again = quantizer.quantize(terms, bias: corrected)
        {
          result = again
        }
        (weights, bias, shift) = (result.weights, result.bias, result.shift)
      } else {
        throw CompileError(
          "\(node.operators[0]) \(quoted(node.name))",
          "it adds so many products that its sums can leave the accelerator's 32 bits")
      }
    }
    let terms = zip(layer.terms, weights).map { term, weights in
      AccumulateTerm(
        input: device(term.input), weights: term.kind(weights),
        kernel: term.window.kernel.pair, stride: term.window.stride.pair, padding: term.window.padding,
        places: term.places)
    }
    let lateTerms = zip(late, lateWeights).map { term, weights in
      AccumulateTerm(
        input: device(term.input),
        weights: .depthwise([Int8](repeating: Int8(weights.first ?? 0), count: layer.bias.count)),
        kernel: (1, 1), stride: (1, 1), padding: .none, isLate: true)
    }
    var operation = Accumulate(
      terms: terms + lateTerms, bias: bias, shift: shift, multiplier: multiplier, leak: leak?.shifts ?? [],
      low: low,
      high: high)
    // What a quantized model computes is kept to the last bit where shifts can express it.
    if graph.isQuantized, multiplier == nil, leak == nil, shift.allSatisfy({ $0 > 0 }) {
      operation.roundsToEven = true
      for channel in shift.indices { operation.bias[channel] &-= 1 << Int32(shift[channel] - 1) }
    }
    operation.lateShift = lateShift
    let added = lateWeights.joined().map(String.init).joined(separator: " and ")
    return (
      operation,
      why(layer, uniform, operation) + (leak.map { ", \($0.sentence)" } ?? "")
        + (late.isEmpty
          ? "" : "; then the other operand through diagonal weight tiles of \(added), shift \(lateShift)")
    )
  }

  /// Biases that make up for what rounding the weights adds to each sum on average, padding left out of account.
  ///
  /// - Parameter unit: what an integer of a term's weights stands for in an output channel.
  private func corrected(
    _ layer: LinearLayer, _ integers: [[Int8]], _ unit: (LinearTerm, _ channel: Int) -> Double
  ) -> [Float]? {
    guard options.correctsBias, !graph.isQuantized, layer.hasCorrectedBias else { return nil }
    var result = layer.bias
    for (term, integers) in zip(layer.terms, integers) {
      let means = statistics[term.input].channelMeans
      let weights = term.expandedWeights(channels: layer.bias.count)
      guard !means.isEmpty else { return nil }
      let (outputs, taps) = (layer.bias.count, term.window.taps)
      let perOutput = weights.count / outputs
      for output in 0..<outputs {
        let step = unit(term, output)
        // The first input channel that the output's weights belong to.
        let first: Int
        switch term.weights {
        case .dense: first = 0
        case .grouped(_, let groups): first = output / (outputs / groups) * (perOutput / taps)
        case .depthwise: first = output
        case .uniform, .positional, .selection: return nil
        }
        var sum = 0.0
        for index in 0..<perOutput {
          let position = output * perOutput + index
          sum += (Double(weights[position]) - Double(integers[position]) * step) * means[first + index / taps]
        }
        result[output] += Float(sum)
      }
    }
    return result
  }

  private func why(_ layer: LinearLayer, _ uniform: ScalePlan.Uniform?, _ sum: Accumulate) -> String {
    let isSpread = layer.terms.contains { $0.places != .all }
    if let uniform {
      var weights = uniform.weights.joined().map(String.init).joined(separator: " and ")
      var way = layer.terms.count > 1 ? "operands through" : "input through"
      if isSpread {
        weights = Set(uniform.weights.joined()).sorted().map(String.init).joined(separator: " and ")
        way = "each input position to \(layer.terms.count) output positions through"
      }
      return "\(way) diagonal weight tiles of \(weights), shift \(uniform.shift)"
    }
    let (least, most) = (sum.shift.min() ?? 0, sum.shift.max() ?? 0)
    let shifts =
      sum.multiplier.map { "factors of 15 bits per channel, shifts \($0.preShift) and \(most)" }
      ?? (least == most ? "shift \(least)" : "shifts \(least)…\(most) per channel")
    let sums =
      layer.terms.count == 1
      ? ""
      : isSpread
        ? "\(layer.terms.count) convolutions, each for its share of the output positions"
        : "\(layer.terms.count) convolutions summed in one accumulator"
    let way = layer.terms.allSatisfy(\.isMatrixProduct) ? "matrix products" : "diagonal weight tiles"
    let isRounded =
      graph.isQuantized && layer.terms.contains { $0.givenWeights == nil && $0.weightScales == nil }
    return (sums.isEmpty ? way : sums) + ", \(shifts)"
      + (isRounded
        ? "; weights rounded anew, as the model has none of 8 signed bits and without zero point" : "")
  }
}

extension LinearLayer {
  /// That one bias for all output positions can make up for a mean error: where terms have places of their own, the error
  /// is another in each.
  var hasCorrectedBias: Bool { terms.allSatisfy { $0.places == .all } }

  /// Terms whose factor exceeds one weight, as several with the same input.
  fileprivate func repeatingTerms(
    _ uniform: ScalePlan.Uniform?, most: Int
  ) -> (LinearLayer, ScalePlan.Uniform?) {
    guard var uniform, uniform.weights.joined().contains(where: { abs($0) > most }) else {
      return (self, uniform)
    }
    var result = self
    result.terms = []
    var weights: [[Int]] = []
    for (term, given) in zip(terms, uniform.weights) {
      let count = max(1, ((given.map { abs($0) }.max() ?? 0) + most - 1) / most)
      for part in 0..<count {
        result.terms.append(term)
        weights.append(given.map { $0 * (part + 1) / count - $0 * part / count })
      }
    }
    uniform.weights = weights
    return (result, uniform)
  }
}

extension LinearTerm {
  /// That its weights are no free ones, however they are expressed.
  fileprivate var needsGivenWeights: Bool {
    switch weights {
    case .positional, .selection: true
    case .dense, .grouped, .depthwise, .uniform: false
    }
  }

  fileprivate func kind(_ integers: [Int8]) -> AccumulateTerm.Weights {
    switch weights {
    case .dense: .dense(integers)
    case .grouped(_, let groups): .grouped(integers, groups: groups)
    case .depthwise, .uniform: .depthwise(integers)
    case .positional: .positional(integers)
    case .selection: .dense(integers)
    }
  }

  /// - Parameter chosen: an integer for each of the ``givenWeights``.
  fileprivate func integers(_ chosen: [Int], channels: Int, inputs: Int) -> [Int8] {
    let pairs = zip(givenWeights ?? [], chosen).map { ($0.weight, Int8($1)) }
    let integers = Dictionary(uniqueKeysWithValues: pairs)
    if case .selection(let offset) = weights {
      // One row per output channel.
      var matrix = [Int8](repeating: 0, count: channels * inputs)
      for input in 0..<inputs { matrix[(input + offset) * inputs + input] = Int8(chosen[0]) }
      return matrix
    }
    return expandedWeights(channels: channels).map { integers[$0] ?? 0 }
  }
}

extension Window.Extent {
  fileprivate var pair: (height: Int, width: Int) { (height, width) }
}

extension HostFunction.Kind {
  fileprivate var isExponential: Bool {
    switch self {
    case .sigmoid, .tanh, .elu, .softplus, .exp: true
    case .hardSigmoid, .hardSwish: false
    }
  }
}
