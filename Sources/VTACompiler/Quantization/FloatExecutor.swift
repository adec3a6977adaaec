internal import VTAModule

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// Runs the float graph on the host: for calibration, and as the yardstick of quantization.
struct FloatExecutor: Sendable {
  private let graph: Graph
  /// Per node, term and group, the weights as the matrix multiplication wants them; none for other terms.
  private let packed: [[[PackedWeights]]]
  /// Per node, the values that nothing reads afterwards.
  private let lastUses: [[Int]]

  init(_ graph: Graph) {
    self.graph = graph
    packed = graph.nodes.map { node in
      guard case .linear(let layer) = node.operation else { return [] }
      return layer.terms.map { term in
        switch term.weights {
        case .dense(let weights): [PackedWeights(weights, rows: layer.bias.count)]
        case .grouped(let weights, let groups):
          (0..<groups).map { group in
            let count = weights.count / groups
            return PackedWeights(
              Array(weights[group * count..<(group + 1) * count]), rows: layer.bias.count / groups)
          }
        case .depthwise, .uniform, .positional, .selection: []
        }
      }
    }
    var isNeeded = Set(graph.outputs.map(\.value))
    var lastUses = [[Int]](repeating: [], count: graph.nodes.count)
    for (index, node) in graph.nodes.enumerated().reversed() {
      for value in Set(node.inputs + [node.output]) where isNeeded.insert(value).inserted {
        lastUses[index].append(value)
      }
    }
    self.lastUses = lastUses
  }

  /// - Parameters:
  ///   - inputs: one sample, the elements of each graph input in order.
  ///   - observe: sees each value that is computed or passed in.
  /// - Returns: the elements of each graph output in order.
  func run(_ inputs: [[Float]], observe: (_ value: Int, _ elements: [Float]) -> Void = { _, _ in })
    -> [[Float]]
  {
    var values = [[Float]](repeating: [], count: graph.values.count)
    for (value, elements) in zip(graph.inputs, inputs) {
      values[value] = elements
      observe(value, elements)
    }
    for (index, node) in graph.nodes.enumerated() {
      values[node.output] = compute(index, values)
      observe(node.output, values[node.output])
      for value in lastUses[index] { values[value] = [] }
    }
    return graph.outputs.map { values[$0.value] }
  }

  /// The node's result from given inputs, or from what they are computed from; `nil` if something is missing.
  func recomputed(_ value: Int, from known: [Int: [Float]]) -> [Float]? {
    guard let index = graph.nodes.firstIndex(where: { $0.output == value }) else { return nil }
    var values = [[Float]](repeating: [], count: graph.values.count)
    for input in graph.nodes[index].inputs {
      guard let elements = known[input] ?? recomputed(input, from: known) else { return nil }
      values[input] = elements
    }
    return compute(index, values)
  }

  private func compute(_ index: Int, _ values: [[Float]]) -> [Float] {
    let node = graph.nodes[index]
    let output = graph.values[node.output]
    switch node.operation {
    case .linear(let layer):
      return linear(layer, packed[index], values, output.geometry)
    case .maxPool(let pool):
      return maxPool(pool, values[pool.input], graph.values[pool.input].geometry, output.geometry)
    case .reshape(let input):
      return values[input]
    case .softmax(let input, let axis):
      return softmax(values[input], shape: output.shape, axis: axis)
    case .host(.activate(let function), let inputs):
      return values[inputs[0]].map { function($0) }
    case .host(.transpose(let permutation), let inputs):
      return TensorArrangement.transpose(values[inputs[0]], shape: graph.values[inputs[0]].shape, permutation)
    case .host(.concatenate(let axis), let inputs):
      return TensorArrangement.concatenate(
        inputs.map { (values[$0], graph.values[$0].shape[axis...].reduce(1, *)) })
    case .constant(let elements): return elements
    }
  }

  private func linear(
    _ layer: LinearLayer, _ packed: [[PackedWeights]], _ values: [[Float]], _ output: Geometry
  ) -> [Float] {
    var result = layer.bias.flatMap { [Float](repeating: $0, count: output.positions) }
    for (term, packed) in zip(layer.terms, packed) {
      if term.places == .all {
        accumulate(term, packed, values, into: &result, output)
      } else {
        var part = output
        part.height = term.places.rows.indices(in: 0..<output.height).count
        part.width = term.places.columns.indices(in: 0..<output.width).count
        var sums = [Float](repeating: 0, count: part.elementCount)
        accumulate(term, packed, values, into: &sums, part)
        spread(sums, part, term.places, into: &result, output)
      }
    }
    if layer.slope != 1 {
      for index in result.indices where result[index] < 0 { result[index] *= layer.slope }
    }
    if layer.bounds != .none {
      for index in result.indices { result[index] = layer.bounds.clip(result[index]) }
    }
    return result
  }

  private func accumulate(
    _ term: LinearTerm, _ packed: [PackedWeights], _ values: [[Float]], into result: inout [Float],
    _ output: Geometry
  ) {
    let (input, geometry) = (values[term.input], graph.values[term.input].geometry)
    let taps = term.window.kernel.height * term.window.kernel.width
    switch term.weights {
    case .dense, .grouped:
      accumulateGroups(input, geometry, packed, term.window, into: &result, outputWidth: output.width)
    case .depthwise(let weights):
      accumulateDepthwise(
        input, geometry, term.window, into: &result, output,
        weight: { channel, tap, _ in weights[channel * taps + tap] })
    case .uniform(let weight):
      accumulateDepthwise(
        input, geometry, term.window, into: &result, output, weight: { _, _, _ in weight })
    case .selection(let offset):
      let first = offset * output.positions
      for index in input.indices { result[first + index] += input[index] }
    case .positional(let weights):
      accumulateDepthwise(
        input, geometry, term.window, into: &result, output, weight: { _, _, position in weights[position] })
    }
  }

  /// Adds the elements of `part` to their places in `output`.
  private func spread(
    _ sums: [Float], _ part: Geometry, _ places: Places, into result: inout [Float], _ output: Geometry
  ) {
    for channel in 0..<part.channels {
      for y in 0..<part.height {
        let row = places.rows.first + y * places.rows.stride
        for x in 0..<part.width {
          let column = places.columns.first + x * places.columns.stride
          result[(channel * output.height + row) * output.width + column] +=
            sums[(channel * part.height + y) * part.width + x]
        }
      }
    }
  }

  /// - Parameter weights: one matrix per group of channels.
  private func accumulateGroups(
    _ input: [Float], _ geometry: Geometry, _ weights: [PackedWeights], _ window: Window,
    into result: inout [Float], outputWidth: Int
  ) {
    if weights.count == 1 {
      accumulateConvolution(input, geometry, weights[0], window, into: &result, outputWidth: outputWidth)
      return
    }
    var geometry = geometry
    geometry.channels /= weights.count
    let outputs = result.count / weights.count
    for (group, weights) in weights.enumerated() {
      let range = group * outputs..<(group + 1) * outputs
      var sums = Array(result[range])
      accumulateConvolution(
        Array(input[group * geometry.elementCount..<(group + 1) * geometry.elementCount]), geometry, weights,
        window, into: &sums, outputWidth: outputWidth)
      result.replaceSubrange(range, with: sums)
    }
  }

  /// - Parameter weight: by channel, tap (row-major in the kernel) and output position (row-major).
  private func accumulateDepthwise(
    _ input: [Float], _ geometry: Geometry, _ window: Window, into result: inout [Float], _ output: Geometry,
    weight: (_ channel: Int, _ tap: Int, _ position: Int) -> Float
  ) {
    forEachTap(of: window, geometry, output) { channel, tap, position, source in
      result[channel * output.positions + position] += weight(channel, tap, position) * input[source]
    }
  }

  private func maxPool(
    _ pool: MaxPoolLayer, _ input: [Float], _ geometry: Geometry, _ output: Geometry
  ) -> [Float] {
    var result = [Float](repeating: -.infinity, count: output.elementCount)
    forEachTap(of: pool.window, geometry, output) { channel, _, position, source in
      let target = channel * output.positions + position
      result[target] = max(result[target], input[source])
    }
    return result.map(pool.bounds.clip)
  }

  /// Calls `body` for every position of every window that lies inside the input.
  ///
  /// - Parameter body: gets the channel, the tap and the output position (both row-major), and the index in the input.
  @inline(__always)
  private func forEachTap(
    of window: Window, _ input: Geometry, _ output: Geometry,
    _ body: (_ channel: Int, _ tap: Int, _ position: Int, _ source: Int) -> Void
  ) {
    for channel in 0..<output.channels {
      for y in 0..<output.height {
        for i in window.rows(y, of: input.height) {
          let row = (channel * input.height + y * window.stride.height + i - window.padding.top) * input.width
          for x in 0..<output.width {
            let start = row + x * window.stride.width - window.padding.left
            for j in window.columns(x, of: input.width) {
              body(channel, i * window.kernel.width + j, y * output.width + x, start + j)
            }
          }
        }
      }
    }
  }

  private func softmax(_ input: [Float], shape: [Int], axis: Int) -> [Float] {
    let inner = shape[(axis + 1)...].reduce(1, *)
    let extent = shape[axis]
    var result = input
    for outer in 0..<input.count / (extent * inner) {
      for offset in 0..<inner {
        let indices = (0..<extent).map { (outer * extent + $0) * inner + offset }
        let highest = indices.map { input[$0] }.max() ?? 0
        let powers = indices.map { exp(Double(input[$0] - highest)) }
        let sum = powers.reduce(0, +)
        for (index, power) in zip(indices, powers) { result[index] = Float(power / sum) }
      }
    }
    return result
  }
}

extension Window {
  /// Kernel rows of output row `y` that see the input.
  fileprivate func rows(_ y: Int, of height: Int) -> Range<Int> {
    Self.taps(start: y * stride.height - padding.top, kernel: kernel.height, extent: height)
  }

  /// Kernel columns of output column `x` that see the input.
  fileprivate func columns(_ x: Int, of width: Int) -> Range<Int> {
    Self.taps(start: x * stride.width - padding.left, kernel: kernel.width, extent: width)
  }

  private static func taps(start: Int, kernel: Int, extent: Int) -> Range<Int> {
    let low = min(max(0, -start), kernel)
    return low..<max(low, min(kernel, extent - start))
  }
}
