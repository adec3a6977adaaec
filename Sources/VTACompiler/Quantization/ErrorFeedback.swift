private import Dispatch
private import Synchronization

/// Rounds the weights of a layer so that what one of them adds too much the next ones take away.
///
/// For one output, weights `w` and integers `q` differ in the sum by `Σ (w - q) · x`, whose mean square over the inputs that
/// calibration saw is `(w - q)ᵀ H (w - q)` with their moments `H = E[x xᵀ]`. With `H = Rᵀ R`, R upper triangular, that is a
/// sum of squares of which the i-th is the first to contain `q[i]` if one goes from the last to the first: each weight is
/// rounded to make its square small, given those that have been rounded already.
struct ErrorFeedback: Sendable {
  /// Weights of one term that are rounded together: of several outputs, the same inputs.
  struct Block: Sendable {
    /// Output channels.
    let outputs: Range<Int>
    /// Within the weights of an output.
    let columns: Range<Int>
    /// The input channel that the first column belongs to.
    let channel: Int
    /// Row by row, R with each row divided by its diagonal.
    fileprivate(set) var factor: [Float] = []

    var width: Int { columns.count }
    /// Of weights in units of one integer.
    fileprivate static let exactMax: Float = 1e6
  }
  /// By node and term; no blocks for terms whose weights are rounded one by one.
  private let blocks: [[[Block]]]

  /// Largest number of weights that are rounded together.
  private static let widthMax = 576
  /// How many samples and positions of each are looked at.
  private static let samplesMax = 16
  private static let positionsMax = 128

  func blocks(_ node: Int, _ term: Int) -> [Block] { blocks[node][term] }

  /// - Parameter isCentred: biases make up for the mean error, so that only variances count.
  init(
    _ graph: Graph, _ samples: CalibrationSamples, isCentred: Bool,
    progress: (_ done: Int, _ count: Int) -> Void
  ) {
    struct Place {
      var node: Int
      var term: Int
      var block: Int
      var window: Window
      var places: Places
      var output: Geometry
    }
    var blocks: [[[Block]]] = graph.nodes.map { node in
      guard case .linear(let layer) = node.operation else { return [] }
      return layer.terms.map { $0.blocks(outputs: layer.bias.count, widthMax: Self.widthMax) }
    }
    /// Of each value, the blocks that read it.
    var readers: [Int: [Place]] = [:]
    for (index, node) in graph.nodes.enumerated() {
      guard case .linear(let layer) = node.operation else { continue }
      for (term, reader) in layer.terms.enumerated() {
        for block in blocks[index][term].indices {
          readers[reader.input, default: []].append(
            Place(
              node: index, term: term, block: block, window: reader.window, places: reader.places,
              output: graph.values[node.output].geometry))
        }
      }
    }
    let executor = FloatExecutor(graph)
    let count = min(samples.count, Self.samplesMax)
    var sums: [[[Moments]]] = blocks.map { $0.map { $0.map { Moments(width: $0.width) } } }
    for sample in 0..<count {
      _ = executor.run(samples[sample]) { value, elements in
        guard let places = readers[value] else { return }
        let geometry = graph.values[value].geometry
        let found = Mutex([Int: Moments]())
        DispatchQueue.concurrentPerform(iterations: places.count) { [blocks] index in
          let place = places[index]
          let block = blocks[place.node][place.term][place.block]
          let patches = Patches(
            elements, geometry, place.window, place.places, place.output, block, most: Self.positionsMax)
          let moments = Moments(patches)
          found.withLock { $0[index] = moments }
        }
        for (index, moments) in found.withLock({ $0 }) {
          let place = places[index]
          sums[place.node][place.term][place.block].add(moments)
        }
      }
      progress(sample + 1, count)
    }
    let all = blocks.indices.flatMap { node in
      blocks[node].indices.flatMap { term in blocks[node][term].indices.map { (node, term, $0) } }
    }
    let corrected = graph.nodes.map { node in
      if case .linear(let layer) = node.operation { layer.hasCorrectedBias } else { false }
    }
    let factors = Mutex([Int: [Float]]())
    DispatchQueue.concurrentPerform(iterations: all.count) { [sums] index in
      let (node, term, block) = all[index]
      let factor = sums[node][term][block].factor(isCentred: isCentred && corrected[node])
      factors.withLock { $0[index] = factor }
    }
    for (index, factor) in factors.withLock({ $0 }) {
      let (node, term, block) = all[index]
      blocks[node][term][block].factor = factor
    }
    self.blocks = blocks
  }
}

extension ErrorFeedback.Block {
  /// Replaces the integers of the block.
  ///
  /// - Parameters:
  ///   - exact: in units of one integer, `outputs × weights per output`.
  ///   - integers: the same shape.
  func round(_ exact: [Float], into integers: inout [Int8], perOutput: Int, limits: ClosedRange<Int>) {
    guard factor.count == width * width else { return }
    let (low, high) = (Float(limits.lowerBound), Float(limits.upperBound))
    let count = outputs.count
    // Row by row what each weight is off, by output.
    var errors = [Float](repeating: 0, count: width * count)
    var wanted = [Float](repeating: 0, count: count)
    for row in (0..<width).reversed() {
      for (index, output) in outputs.enumerated() {
        wanted[index] = exact[output * perOutput + columns.lowerBound + row]
      }
      addProducts(factor, row: row, width: width, errors, into: &wanted)
      for (index, output) in outputs.enumerated() {
        let position = output * perOutput + columns.lowerBound + row
        // Weights far beyond all integers are not made up for.
        guard wanted[index].isFinite, abs(exact[position]) < Self.exactMax else { continue }
        let integer = min(max(wanted[index].rounded(.toNearestOrEven), low), high)
        integers[position] = Int8(integer)
        errors[row * count + index] = exact[position] - integer
      }
    }
  }
}

extension LinearTerm {
  /// Which weights see the same inputs, in parts that are not too large.
  fileprivate func blocks(outputs: Int, widthMax: Int) -> [ErrorFeedback.Block] {
    let taps = window.taps
    let (groups, perOutput): (Int, Int)
    switch weights {
    case .dense(let values): (groups, perOutput) = (1, values.count / outputs)
    case .grouped(let values, let count): (groups, perOutput) = (count, values.count / outputs)
    case .depthwise(let values): (groups, perOutput) = (outputs, values.count / outputs)
    case .uniform, .positional, .selection: return []
    }
    let channels = perOutput / taps
    guard taps <= widthMax, channels > 0, weightScales == nil else { return [] }
    let parts = (channels * taps + widthMax - 1) / widthMax
    let size = (channels + parts - 1) / parts
    return (0..<groups).flatMap { group in
      Tiling.ranges(channels, size).map { range in
        ErrorFeedback.Block(
          outputs: group * outputs / groups..<(group + 1) * outputs / groups,
          columns: range.lowerBound * taps..<range.upperBound * taps,
          channel: group * channels + range.lowerBound)
      }
    }
  }
}

/// What the weights of a block are multiplied with at some output positions.
private struct Patches {
  let width: Int
  let count: Int
  /// `width × count`.
  var values: [Float]

  init(
    _ input: [Float], _ geometry: Geometry, _ window: Window, _ places: Places, _ output: Geometry,
    _ block: ErrorFeedback.Block, most: Int
  ) {
    width = block.width
    let rows = places.rows.indices(in: 0..<output.height).count
    let columns = places.columns.indices(in: 0..<output.width).count
    let count = min(rows * columns, most)
    self.count = count
    values = [Float](repeating: 0, count: width * count)
    let taps = window.taps
    for at in 0..<count {
      let position = at * rows * columns / count
      let top = position / columns * window.stride.height - window.padding.top
      let left = position % columns * window.stride.width - window.padding.left
      for tap in 0..<taps {
        let (y, x) = (top + tap / window.kernel.width, left + tap % window.kernel.width)
        guard y >= 0, y < geometry.height, x >= 0, x < geometry.width else { continue }
        var source = (block.channel * geometry.height + y) * geometry.width + x
        for row in stride(from: tap, to: width, by: taps) {
          values[row * count + at] = input[source]
          source += geometry.positions
        }
      }
    }
  }
}

/// Sums of patches and of products of their elements.
private struct Moments {
  let width: Int
  var count = 0
  var sums: [Double]
  /// `width × width`.
  var products: [Float]

  init(width: Int) {
    self.width = width
    sums = [Double](repeating: 0, count: width)
    products = []
  }

  init(_ patches: Patches) {
    width = patches.width
    count = patches.count
    sums = (0..<width).map { row in
      patches.values[row * patches.count..<(row + 1) * patches.count].reduce(0) { $0 + Double($1) }
    }
    var transposed = [Float](repeating: 0, count: patches.values.count)
    for row in 0..<width {
      for at in 0..<count { transposed[at * width + row] = patches.values[row * count + at] }
    }
    products = [Float](repeating: 0, count: width * width)
    accumulateConvolution(
      transposed, Geometry(shape: [1, count, 1, width]), PackedWeights(patches.values, rows: width), .point,
      into: &products, outputWidth: width)
  }

  mutating func add(_ other: Moments) {
    count += other.count
    for index in sums.indices { sums[index] += other.sums[index] }
    if products.isEmpty {
      products = other.products
    } else {
      for index in products.indices { products[index] += other.products[index] }
    }
  }

  /// See ``ErrorFeedback/Block/factor``; empty if there is nothing to learn from the moments.
  func factor(isCentred: Bool) -> [Float] {
    guard count > 1 else { return [] }
    var matrix = products
    if isCentred {
      for row in 0..<width {
        let mean = sums[row] / Double(count)
        for column in 0..<width { matrix[row * width + column] -= Float(mean * sums[column]) }
      }
    }
    let trace = (0..<width).reduce(0.0) { $0 + max(0, Double(matrix[$1 * width + $1])) }
    guard trace > 0, trace.isFinite else { return [] }
    // Few positions know little of how inputs go together: what they say counts as much as there are more of them than inputs.
    let trust = Float(Double(count) / Double(count + width))
    let damping = Float(0.01 * trace / Double(width))
    for row in 0..<width {
      for column in 0..<width where column != row { matrix[row * width + column] *= trust }
      matrix[row * width + row] += damping
    }
    return normalizedTriangle(matrix, width) ?? []
  }
}
