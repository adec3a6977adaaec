/// One scale per value, chosen so that additions, averages and pooling need no inexact factor.
///
/// Convolutions and dense layers take any scale: their weights adapt (see ``LinearQuantizer``). A layer with given
/// weights (1 for an addition, 1/n for an average) needs integers m and a shift s with
/// `scale(input) · weight = m · u` and `scale(output) = 2^s · u` for one unit u. The planner searches the integers that
/// lose least and ties the scales to them, so that the factors are exact.
struct ScalePlan: Sendable {
  /// Integer weights of a layer whose weights are all given.
  struct Uniform: Hashable, Sendable {
    /// By term, in the order of ``LinearTerm/givenWeights``.
    var weights: [[Int]]
    var shift: Int
  }
  private(set) var groups: ScaleGroups
  /// By index of the node.
  private(set) var uniform: [Int: Uniform] = [:]

  private var zeroPoints: [Int] = []

  func scale(_ value: Int) -> Double { groups.scale(value) }
  /// The integer that stands for 0.
  func zeroPoint(_ value: Int) -> Int { zeroPoints[value] }

  init(
    _ graph: Graph, _ statistics: [ActivationStatistics], _ format: IntegerFormat,
    _ kind: QuantizationOptions.Scales = .free
  ) {
    var scales = Self.preferredScales(graph, statistics, format)
    if kind == .powersOfTwo {
      scales = scales.map {
        Double(sign: .plus, exponent: $0.exponent + ($0.significand > 1 ? 1 : 0), significand: 1)
      }
    }
    if kind == .free, !format.canMultiply, !graph.isQuantized {
      Self.favourWeights(graph, statistics, format, &scales)
    }
    groups = ScaleGroups(scales)
    if graph.isQuantized {
      uniform = GivenScales.uniform(graph, scales, format)
      zeroPoints = graph.values.map { $0.quantization?.zeroPoint ?? 0 }
      for node in graph.nodes {
        guard let input = node.passedOn, graph.values[node.output].quantization == nil else { continue }
        groups.tie(node.output, to: input, ratio: 1)
        zeroPoints[node.output] = zeroPoints[input]
      }
      return
    }
    let readers = graph.consumers().map(\.count)
    var joins: [Int] = []
    for (index, node) in graph.nodes.enumerated() {
      switch node.operation {
      case .maxPool(let pool):
        groups.tie(node.output, to: pool.input, ratio: 1)
      case .linear where join(node, readers):
        let terms = node.inputs.count
        uniform[index] = Uniform(weights: [[Int]](repeating: [1], count: terms), shift: 0)
        joins.append(index)
      case .linear(let layer):
        let terms = layer.givenTerms
        let given = terms.compactMap(\.givenWeights)
        guard given.count == terms.count else { continue }
        let shiftMax =
          terms[0].isLate
          ? LateTerms.shiftMax(layer, graph.values.indices.map(groups.scale), output: node.output, format)
          : nil
        let search = UniformSearch(
          terms: zip(terms, given).flatMap { term, given in
            given.map { given in
              UniformSearch.Term(
                value: term.input, factor: Double(given.weight), scale: groups.scale(term.input),
                meanSquare: statistics[term.input].meanSquare * given.share, group: groups.group(term.input),
                groupSize: groups.groupSize(term.input),
                taps: term.window.kernel.height * term.window.kernel.width)
            }
          },
          outputScale: groups.scale(node.output), weightMax: format.weights.upperBound,
          tapSumMax: Int(Int32.max / 2) / format.span, freeShiftMax: shiftMax)
        guard let choice = search.best() else {
          if let shiftMax {
            uniform[index] = LateTerms.nearest(layer, groups, output: node.output, shift: shiftMax, format)
          }
          continue
        }
        var weights = choice.weights[...]
        uniform[index] = Uniform(
          weights: given.map { given in
            defer { weights = weights.dropFirst(given.count) }
            return Array(weights.prefix(given.count))
          }, shift: choice.shift)
        tie(node.output, search, choice)
      // The host passes the integers on as they are.
      case .reshape(let input): groups.tie(node.output, to: input, ratio: 1)
      case .host(.transpose, let inputs): groups.tie(node.output, to: inputs[0], ratio: 1)
      case .softmax, .host, .constant: continue
      }
    }
    zeroPoints = placeZeroPoints(graph, statistics, format)
    for join in joins.reversed() { shareZeroPoint(join, graph) }
  }

  /// Gives the parts of a concatenation the scale of the whole where that costs little or only the concatenation reads them:
  /// joining them is no work then.
  private mutating func join(_ node: GraphNode, _ readers: [Int]) -> Bool {
    guard let inputs = node.joined, Set(inputs).count == inputs.count else { return false }
    let all = inputs + [node.output]
    guard let coarsest = all.max(by: { groups.scale($0) < groups.scale($1) }) else { return false }
    let scale = groups.scale(coarsest)
    let isCheap = inputs.allSatisfy { input in
      scale <= groups.scale(input) * UniformSearch.growthMax
        || (readers[input] == 1 && groups.groupSize(input) == 1)
    }
    guard isCheap else { return false }
    for value in all where groups.group(value) != groups.group(coarsest) {
      groups.tie(value, to: coarsest, ratio: 1)
    }
    // Two of them may have been tied before, by another ratio.
    return all.allSatisfy { abs(groups.scale($0) / scale - 1) < 1e-12 }
  }

  /// Zero points are tied together; see ``ZeroPoints/allowed(_:)``.
  private mutating func shareZeroPoint(_ index: Int, _ graph: Graph) {
    let node = graph.nodes[index]
    for input in node.joined ?? [] { setZeroPoint(input, to: zeroPoints[node.output], graph) }
  }

  private mutating func setZeroPoint(_ value: Int, to zeroPoint: Int, _ graph: Graph) {
    if zeroPoints[value] == zeroPoint { return }
    zeroPoints[value] = zeroPoint
    for node in graph.nodes {
      guard let input = node.passedOn else { continue }
      if node.output == value { setZeroPoint(input, to: zeroPoint, graph) }
      if input == value { setZeroPoint(node.output, to: zeroPoint, graph) }
    }
  }

  /// Where the range of each value ends at an end of the integers, once scales are settled.
  private func placeZeroPoints(
    _ graph: Graph, _ statistics: [ActivationStatistics], _ format: IntegerFormat
  ) -> [Int] {
    let allowed = ZeroPoints.allowed(graph)
    var result = graph.values.indices.map { value in
      let scale = groups.scale(value)
      let range = Self.range(graph, value, statistics[value])
      let least = Double(format.activations.lowerBound) - range.lowerBound / scale
      let most = Double(format.activations.upperBound) - range.upperBound / scale
      // Those as good as symmetric are left alone, though an end is clipped by a step: no sum needs correcting then, and a
      // padded window no constants of its own.
      if !allowed[value] || (least <= 1 && most >= -1) { return 0 }
      return format.integer(range.lowerBound == 0 ? least : (least + most) / 2)
    }
    for node in graph.nodes { if let input = node.passedOn { result[node.output] = result[input] } }
    return result
  }

  private mutating func tie(_ output: Int, _ search: UniformSearch, _ choice: UniformSearch.Choice) {
    let anchor = search.terms[search.anchor]
    for term in search.terms {
      guard let growth = choice.growth[term.group] else { continue }
      groups.tie(term.value, to: anchor.value, ratio: term.scale * growth / anchor.scale)
    }
    groups.tie(output, to: anchor.value, ratio: choice.outputScale / anchor.scale)
  }

  /// The scale of each value on its own: the range that calibration saw takes all integers, or half of them if 0 must be
  /// in their middle.
  static func preferredScales(
    _ graph: Graph, _ statistics: [ActivationStatistics], _ format: IntegerFormat
  ) -> [Double] {
    let allowed = ZeroPoints.allowed(graph)
    return statistics.indices.map { value in
      if let given = graph.values[value].quantization { return Double(given.scale) }
      let range = Self.range(graph, value, statistics[value])
      let width = range.upperBound - range.lowerBound
      let half = max(-range.lowerBound, range.upperBound)
      // A value that was as good as 0 may be anything small.
      guard half > 1e-30 else { return 1 / Double(format.activations.upperBound) }
      return allowed[value] ? width / Double(format.span) : half / Double(format.activations.upperBound)
    }
  }

  /// Where sums are requantized by shifts, an output that is a little coarser may leave its layer's weights more of their
  /// bits: takes the scale with which both together are off least.
  private static func favourWeights(
    _ graph: Graph, _ statistics: [ActivationStatistics], _ format: IntegerFormat, _ scales: inout [Double]
  ) {
    for node in graph.nodes {
      guard case .linear(let layer) = node.operation, layer.terms.allSatisfy({ $0.givenWeights == nil })
      else {
        continue
      }
      let terms = layer.terms.map {
        LinearQuantizer.Term(
          $0, channels: layer.bias.count, scale: scales[$0.input], statistics[$0.input])
      }
      let own = LinearQuantizer(format: format, outputScale: scales[node.output])
      let peaks = layer.bias.indices.map { own.peak(terms, $0, of: layer.bias.count) }
      var best = (noise: Double.infinity, scale: scales[node.output])
      for step in 0..<20 {
        let scale = scales[node.output] * (1 + Double(step) / 40)
        let noise =
          scale * scale / 12
          + LinearQuantizer(format: format, outputScale: scale).weightNoise(terms, peaks: peaks)
        if noise < best.noise { best = (noise, scale) }
      }
      scales[node.output] = best.scale
    }
  }

  /// What a value is expected to be, 0 included.
  private static func range(
    _ graph: Graph, _ value: Int, _ statistics: ActivationStatistics
  ) -> ClosedRange<Double> {
    let headroom = graph.inputs.contains(value) ? 1 : Self.headroom(statistics.count)
    return Double(statistics.low) * headroom...Double(statistics.high) * headroom
  }

  /// The largest of a few observations says little about the largest of many, and clipping costs more than a
  /// slightly coarser scale.
  private static func headroom(_ observations: Int) -> Double {
    switch observations {
    case ..<100: 1.5
    case ..<1000: 1.25
    case ..<10_000: 1.05
    default: 1
    }
  }
}

extension LinearTerm {
  /// Weights that the operator gives, and the share of output positions that has each, the most frequent first; `nil`
  /// if the weights are free or 0.
  var givenWeights: [(weight: Float, share: Double)]? {
    switch weights {
    case .uniform(let weight): return weight == 0 ? nil : [(weight, 1)]
    case .positional(let weights):
      let counts = Dictionary(grouping: weights) { $0 }.mapValues(\.count)
      return counts.sorted { ($0.value, $0.key) > ($1.value, $1.key) }.map { weight, count in
        (weight, Double(count) / Double(weights.count))
      }
    case .selection: return [(1, 1)]
    case .dense, .grouped, .depthwise: return nil
    }
  }
}

/// Finds the integer weights and the shift of one layer with given weights.
struct UniformSearch {
  struct Term {
    var value: Int
    var factor: Double
    var scale: Double
    /// Of the input, times the share of outputs that the term adds to.
    var meanSquare: Double
    var group: Int
    var groupSize: Int
    /// Positions of the kernel.
    var taps: Int
    /// Size of one step of the input in the sum.
    var step: Double { scale * abs(factor) }
  }
  struct Choice {
    var weights: [Int]
    var shift: Int
    var outputScale: Double
    /// Factor by which the scales of a group grow, for the groups that are tied to the output.
    var growth: [Int: Double]
    /// Expected square of the error, in real units.
    var noise: Double
  }
  /// How much smaller than preferred a scale may become: the clipping that this adds is rare.
  private static let tolerance = 0.995
  /// How much coarser a value may become for the sake of an exact addition.
  static let growthMax = 1.25

  let terms: [Term]
  /// What the output would choose.
  let outputScale: Double
  let weightMax: Int
  /// Largest sum of weights over all terms and taps with which the accumulator keeps half its range for the bias.
  let tapSumMax: Int
  /// Most bits below the output's step that a sum with other, free weights keeps until these terms are added; `nil` without
  /// such a sum.
  var freeShiftMax: Int?

  /// The term whose scale stays: of the largest group, so that fewest others change.
  var anchor: Int {
    terms.indices.max { (terms[$0].groupSize, -$0) < (terms[$1].groupSize, -$1) } ?? 0
  }

  /// - Returns: `nil` if the output's range is beyond all shifts, as with a huge constant added.
  func best() -> Choice? {
    var best: Choice?
    for shift in 0...(freeShiftMax ?? IntegerFormat.uniformShiftMax) {
      for weight in 1...weightMax {
        let unit = terms[anchor].step / Double(weight)
        let scale = unit * Double(sign: .plus, exponent: shift, significand: 1)
        guard scale >= outputScale * Self.tolerance,
          let choice = choice(unit: unit, anchorWeight: weight, shift: shift, outputScale: scale)
        else { continue }
        if choice.noise < (best?.noise ?? .infinity) { best = choice }
      }
    }
    return best
  }

  private func choice(unit: Double, anchorWeight: Int, shift: Int, outputScale: Double) -> Choice? {
    var noise = 0.0
    var growth = [terms[anchor].group: 1.0]
    var weights: [Int] = []
    for (index, term) in terms.enumerated() {
      let weight: Int
      if index == anchor {
        weight = anchorWeight
      } else if let factor = growth[term.group] {
        // Its scale is settled already: the nearest integer has to do.
        let exact = term.step * factor / unit
        guard exact < Double(weightMax) + 0.5 else { return nil }
        weight = Int(exact.rounded())
        let error = (Double(weight) - exact) * unit / term.scale
        noise += error * error * term.meanSquare
      } else {
        // Its scale may grow a little so that the integer is exact; more would cost precision wherever it is read.
        let exact = term.step / unit
        guard exact < Double(weightMax) + 0.5 else { return nil }
        let above = max(1, Int((exact * Self.tolerance).rounded(.up)))
        let factor = Double(above) / exact
        if above <= weightMax, factor <= Self.growthMax {
          weight = above
          growth[term.group] = factor
          noise += max(0, factor * factor - 1) * term.step * term.step / 12
        } else {
          weight = Int(exact.rounded())
          let error = (Double(weight) - exact) * unit / term.scale
          noise += error * error * term.meanSquare
        }
      }
      weights.append(signed(weight, term))
    }
    guard zip(weights, terms).reduce(0, { $0 + abs($1.0) * $1.1.taps }) <= tapSumMax else { return nil }
    // Without a remainder there is nothing to round.
    let isExact = weights.allSatisfy { $0 % (1 << shift) == 0 } && (freeShiftMax == nil || shift == 0)
    if freeShiftMax != nil { noise += unit * unit / 12 }
    if !isExact { noise += outputScale * outputScale / 12 }
    return Choice(weights: weights, shift: shift, outputScale: outputScale, growth: growth, noise: noise)
  }

  private func signed(_ weight: Int, _ term: Term) -> Int { term.factor < 0 ? -weight : weight }
}
