import Testing
import VTA
import VTAModule

@testable import VTACompiler

/// How weights are rounded and ranges chosen, measured against doing neither.
@Suite struct RoundingTests {
  private struct Layer {
    var graph: Graph
    var samples: [[Float]]
    var weights: [Float]
    var geometry: Geometry
    var outputs: Int
  }

  /// A convolution of 3 × 3 over inputs whose neighbours, in space and among channels, resemble each other.
  private static func layer(_ random: inout SeededGenerator) -> Layer {
    let (channels, extent, outputs) = (6, 10, 8)
    let samples = (0..<6).map { _ in
      let shared = (0..<extent * extent).map { _ in Float.random(in: -1...1, using: &random) }
      return (0..<channels).flatMap { _ in
        (0..<extent * extent).map { position in
          let (y, x) = (position / extent, position % extent)
          let near =
            shared[position] + shared[y * extent + max(0, x - 1)] + shared[max(0, y - 1) * extent + x]
          return near + 0.2 * Float.random(in: -1...1, using: &random) + 1
        }
      }
    }
    let weights = (0..<outputs * channels * 9).map { _ in Float.random(in: -1...1, using: &random) }
    let window = Window(
      kernel: .init(height: 3, width: 3), stride: .init(height: 1, width: 1),
      padding: Padding(top: 1, left: 1, bottom: 1, right: 1))
    let term = LinearTerm(input: 0, weights: .dense(weights), window: window)
    let graph = Graph(
      name: "layer", inputs: [0], outputs: [GraphOutput(name: "y", value: 1)],
      values: [
        GraphValue(name: "x", shape: [1, channels, extent, extent]),
        GraphValue(name: "y", shape: [1, outputs, extent, extent]),
      ],
      nodes: [
        GraphNode(
          name: "conv", operators: ["Conv"],
          operation: .linear(LinearLayer(terms: [term], bias: [Float](repeating: 0, count: outputs))),
          output: 1)
      ])
    return Layer(
      graph: graph, samples: samples, weights: weights,
      geometry: Geometry(shape: [1, channels, extent, extent]),
      outputs: outputs)
  }

  /// Mean square of what the changed weights change in the outputs, less its mean if a bias makes up for that.
  private static func error(_ layer: Layer, _ integers: [Int8], factor: Double, isCentred: Bool) -> Double {
    let difference = zip(layer.weights, integers).map { $0 - Float(Double($1) / factor) }
    var graph = layer.graph
    guard case .linear(var linear) = graph.nodes[0].operation else { return .infinity }
    linear.terms[0].weights = .dense(difference)
    graph.nodes[0].operation = .linear(linear)
    let executor = FloatExecutor(graph)
    let results = layer.samples.map { executor.run([$0])[0] }
    let positions = layer.geometry.positions
    var sum = 0.0
    for output in 0..<layer.outputs {
      let values = results.flatMap { $0[output * positions..<(output + 1) * positions].map { Double($0) } }
      let mean = isCentred ? values.reduce(0, +) / Double(values.count) : 0
      sum += values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    }
    return sum / Double(layer.outputs)
  }

  /// Rounding together is much better than rounding each weight alone, for four bits as for eight.
  @Test(arguments: [(1, 4, true), (2, 4, false), (3, 8, true), (4, 8, false)])
  func errorsCancel(seed: UInt64, bits: Int, isCentred: Bool) throws {
    var random = SeededGenerator(seed: seed)
    let layer = Self.layer(&random)
    let tensor = Tensor(layer.samples.flatMap { $0 }, shape: [layer.samples.count] + [6, 10, 10])
    let samples = try CalibrationSamples(layer.graph, ["x": tensor])
    let feedback = ErrorFeedback(layer.graph, samples, isCentred: isCentred) { _, _ in }
    let format = try Self.format(weightBits: bits)
    let factor = Double(format.weights.upperBound)
    var term = LinearQuantizer.Term(weights: layer.weights, inputScale: 1)
    let factors = [Double](repeating: factor, count: layer.outputs)
    let alone = term.integers(format, factors: factors)
    term.blocks = feedback.blocks(0, 0)
    #expect(term.blocks.count == 1)
    let together = term.integers(format, factors: factors)
    #expect(together.allSatisfy { format.weights.contains(Int($0)) })
    let errors = [alone, together].map { Self.error(layer, $0, factor: factor, isCentred: isCentred) }
    #expect(errors[1] < errors[0] / 2, "\(errors)")
  }

  /// Nothing is known of inputs that were always 0, and each weight is rounded alone.
  @Test func silentInputsChangeNothing() throws {
    var random = SeededGenerator(seed: 5)
    let layer = Self.layer(&random)
    let samples = try CalibrationSamples(
      layer.graph, ["x": Tensor([Float](repeating: 0, count: 600), shape: [1, 6, 10, 10])])
    let feedback = ErrorFeedback(layer.graph, samples, isCentred: true) { _, _ in }
    var term = LinearQuantizer.Term(weights: layer.weights, inputScale: 1)
    let format = try Self.format(weightBits: 8)
    let factors = [Double](repeating: 127, count: layer.outputs)
    let alone = term.integers(format, factors: factors)
    term.blocks = feedback.blocks(0, 0)
    #expect(term.integers(format, factors: factors) == alone)
  }

  /// The output of a Relu, half of it 0, with one outlier: no method cuts into the rest, and those that do not count squares
  /// leave the outlier out.
  @Test(arguments: QuantizationOptions.CalibrationMethod.allCases)
  func rangesKeepWhatMatters(_ method: QuantizationOptions.CalibrationMethod) {
    var random = SeededGenerator(seed: 6)
    var histogram = Histogram(low: 0, high: 40)
    let values = (0..<40_000).map { _ in
      // Roughly normal, of deviation 1.
      max(0, (0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0...1, using: &random) })
    }
    histogram.add(values + [40])
    let (low, high) = RangeSearch(method: method, levels: 255).range(histogram)
    #expect(low == 0)
    #expect(high > 2.5)
    switch method {
    case .minMax: #expect(high == 40)
    case .mse: #expect(high < 40)
    case .percentile, .entropy: #expect(high < 20)
    }
  }

  private static func format(weightBits: Int) throws -> IntegerFormat {
    var values = Dictionary(
      uniqueKeysWithValues: HardwareConfiguration.keys.map { ($0.name, $0.read(.default)) })
    values["LOG_WGT_WIDTH"] = weightBits.trailingZeroBitCount
    values["LOG_WGT_BUFF_SIZE"] = 17
    return IntegerFormat(try HardwareConfiguration(values: values))
  }
}
