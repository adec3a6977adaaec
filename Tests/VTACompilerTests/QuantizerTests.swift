import Foundation
import Testing
import VTA
import VTAModule

@testable import VTACompiler

/// What quantization promises, computed in real numbers beside it.
@Suite struct QuantizerTests {
  private static let format = IntegerFormat(Target.named[0].configuration)

  /// Requantized by shifts alone, an output is within the rounding of weights, bias and output of the real sum; where the
  /// real sum leaves eight bits, so does the output.
  @Test(arguments: 1...40)
  func requantizationErrorIsBounded(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let (outputs, inputs) = (5, Int.random(in: 1...90, using: &random))
    func scale() -> Double { Double.random(in: -6...2, using: &random).powerOfTen }
    let (inputScale, outputScale) = (scale(), scale())
    // Channels from far below to far above what the output scale can show, one of zeros.
    let weights = (0..<outputs).flatMap { channel in
      let spread = outputScale / inputScale * Double.random(in: -12...0, using: &random).powerOfTen
      return (0..<inputs).map { _ in
        channel == 0 ? 0 : Float(spread * Double.random(in: -1...1, using: &random))
      }
    }
    let bias = (0..<outputs).map { _ in Float(outputScale * Double.random(in: -200...200, using: &random)) }
    let quantizer = LinearQuantizer(format: Self.format, outputScale: outputScale)
    let terms = [LinearQuantizer.Term(weights: weights, inputScale: inputScale)]
    let result = try #require(quantizer.quantize(terms, bias: bias))
    for sample in 0..<20 {
      let x = (0..<inputs).map { _ in
        sample == 0 ? -128 : sample == 1 ? 127 : Int.random(in: -128...127, using: &random)
      }
      for channel in 0..<outputs {
        var (real, sum, magnitude) = (Double(bias[channel]), Int64(result.bias[channel]), 0.0)
        for input in 0..<inputs {
          let index = channel * inputs + input
          real += Double(weights[index]) * inputScale * Double(x[input])
          sum += Int64(result.weights[0][index]) * Int64(x[input])
          magnitude += Double(abs(x[input]))
        }
        #expect(Int64(Int32(truncatingIfNeeded: sum)) == sum, "the sum leaves 32 bits")
        let shift = result.shift[channel]
        #expect((0...Limits.portableShiftOperand.upperBound).contains(shift))
        let found = Double(sum >> Int64(shift))
        // In steps of the output: half a step, half an integer of each weight (the most negative clips at -127.499) and
        // of the bias.
        let bound = 0.5 + (0.5 * magnitude + 0.5) / Double(1 << shift) + 1e-6 * abs(real / outputScale)
        #expect(abs(found - real / outputScale) <= bound, "channel \(channel), shift \(shift)")
      }
    }
  }

  /// Requantized by factors: the same bound, and a part of a step for the bits that are cut off before the product. Products
  /// stay within 32 bits, and what the limits cut off saturates the output.
  @Test(arguments: 1...40)
  func factorsErrorIsBounded(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let (outputs, inputs) = (6, Int.random(in: 1...90, using: &random))
    let inputScale = Double.random(in: -6...2, using: &random).powerOfTen
    let outputScale = Double.random(in: -6...2, using: &random).powerOfTen
    // Sums from about a step of the output to far beyond its range, channels within a factor of a hundred.
    let gain = Double.random(in: -2...1, using: &random).powerOfTen
    let weights = (0..<outputs).flatMap { _ in
      let spread = outputScale / inputScale * gain * Double.random(in: -2...0, using: &random).powerOfTen
      return (0..<inputs).map { _ in Float(spread * Double.random(in: -1...1, using: &random)) }
    }
    let bias = (0..<outputs).map { _ in Float(outputScale * Double.random(in: -200...200, using: &random)) }
    let quantizer = MultiplyingQuantizer(format: Self.format, outputScale: outputScale)
    let terms = [LinearQuantizer.Term(weights: weights, inputScale: inputScale)]
    let result = try #require(quantizer.quantize(terms, bias: bias), "factors must be found")
    let (pre, shift) = (result.multiplier.preShift, result.shift)
    for sample in 0..<20 {
      let x = (0..<inputs).map { _ in
        sample == 0 ? -128 : sample == 1 ? 127 : Int.random(in: -128...127, using: &random)
      }
      for channel in 0..<outputs {
        var (real, sum, magnitude) = (Double(bias[channel]), Int64(result.bias[channel]), 0.0)
        for input in 0..<inputs {
          let index = channel * inputs + input
          real += Double(weights[index]) * inputScale * Double(x[input])
          sum += Int64(result.weights[0][index]) * Int64(x[input])
          magnitude += Double(abs(x[input]))
        }
        #expect(Int64(Int32(truncatingIfNeeded: sum)) == sum, "the sum leaves 32 bits")
        let limit = Int64(result.multiplier.limit[channel])
        let product = min(max(sum >> Int64(pre), -limit), limit) * Int64(result.multiplier.factor[channel])
        let rounded = product + (1 << Int64(shift - 1))
        #expect(Int64(Int32(truncatingIfNeeded: rounded)) == rounded, "the product leaves 32 bits")
        let (found, wanted) = (Double(rounded >> Int64(shift)), real / outputScale)
        // In steps of the output: half a step, half an integer of each weight (the largest may clip by as much) and of the
        // bias, half of what the first shift cuts off.
        let unit = result.units[channel] / outputScale
        let cut = pre > 0 ? Double(1 << (pre - 1)) * unit : 0
        let bound = 0.5 + (0.5 * magnitude + 0.5) * unit + cut + 1e-6 * abs(wanted)
        if abs(wanted) + bound < 255 {
          #expect(abs(found - wanted) <= bound, "channel \(channel): \(found), \(wanted)")
        } else if abs(wanted) - bound > 255 {
          #expect(abs(found) >= 255 && (found < 0) == (wanted < 0), "channel \(channel): \(found), \(wanted)")
        }
      }
    }
  }

  /// A bias that no accumulator holds saturates the output whatever else is added.
  @Test func hugeBiasSaturates() throws {
    let quantizer = LinearQuantizer(format: Self.format, outputScale: 1e-6)
    let terms = [LinearQuantizer.Term(weights: [1e-7, 1e-7, 1e-7, 1e-7], inputScale: 0.01)]
    let result = try #require(quantizer.quantize(terms, bias: [1e9, -1e9]))
    for (channel, expected) in [(0, 127), (1, -128)] {
      for x: Int64 in [-128, 0, 127] {
        let products = (0..<2).reduce(Int64(0)) { $0 + Int64(result.weights[0][2 * channel + $1]) * x }
        let sum = products + Int64(result.bias[channel])
        #expect(Int64(Int32(truncatingIfNeeded: sum)) == sum)
        #expect(min(max(Int(sum) >> result.shift[channel], -128), 127) == expected)
      }
    }
  }

  /// Given weights (1 of an addition, 1/n of an average) become integers m and a shift s: every operand's step over m
  /// is one unit, and the output's scale is that unit times 2^s exactly.
  @Test(arguments: Fixtures.names)
  func givenWeightsKeepTheirRatios(_ name: String) throws {
    let (graph, plan) = try Self.plan(name)
    for (index, uniform) in plan.uniform {
      guard case .linear(let layer) = graph.nodes[index].operation else { continue }
      let unit = plan.scale(graph.nodes[index].output) / Double(1 << uniform.shift)
      var isExact = false
      for (term, integers) in zip(layer.givenTerms, uniform.weights) {
        for (given, integer) in zip(try #require(term.givenWeights), integers) {
          let wanted = plan.scale(term.input) * Double(given.weight) / unit
          #expect(abs(wanted - Double(integer)) <= 0.5 + 1e-9, "\(graph.nodes[index].name)")
          isExact = isExact || abs(wanted - Double(integer)) < 1e-9 * abs(wanted)
        }
      }
      #expect(isExact, "\(graph.nodes[index].name): no operand is exact")
    }
  }

  /// Two activations that nothing ties are added without any error of their ratio.
  @Test func additionsOfFreeScalesAreExact() throws {
    var found = 0
    for name in Fixtures.names {
      let (graph, plan) = try Self.plan(name)
      for (index, uniform) in plan.uniform {
        guard case .linear(let layer) = graph.nodes[index].operation, layer.givenTerms.count == 2 else {
          continue
        }
        let steps = zip(layer.terms, uniform.weights).map { plan.scale($0.input) / Double($1[0]) }
        #expect(abs(abs(steps[0] / steps[1]) - 1) < 1e-9, "\(name): \(steps)")
        found += 1
      }
    }
    #expect(found >= 2)
  }

  /// The scale plan that calibration with the recorded sample gives.
  private static func plan(_ name: String) throws -> (Graph, ScalePlan) {
    var graph = try Fixtures.simplified(name)
    let entry = try #require(Fixtures.entries[name])
    let samples = entry.inputs.mapValues { Tensor($0.values, shape: $0.shape) }
    let statistics = try Calibration(graph, samples: samples, Self.format) { _, _ in }.statistics
    graph.fuseAdditions(statistics, format)
    return (graph, ScalePlan(graph, statistics, format))
  }

  /// A network without given weights of its own stays near ONNX Runtime's answer: the whole path at once.
  @Test(arguments: [
    "conv_deep", "average_pool_pads", "average_pool_ceil_counted", "all_opset21", "add_itself",
  ])
  func quantizedNetworkStaysNearTheFloatOne(_ name: String) throws {
    try quantizedNetworkStaysNear(name, Self.format)
    try quantizedNetworkStaysNear(name, IntegerFormat(Target.named[0].configuration, canMultiply: true))
  }

  private func quantizedNetworkStaysNear(_ name: String, _ format: IntegerFormat) throws {
    let entry = try #require(Fixtures.entries[name])
    let graph = try Fixtures.simplified(name)
    let input = try #require(entry.inputs["x"])
    let samples = ["x": Tensor(input.values, shape: input.shape)]
    let statistics = try Calibration(graph, samples: samples, format) { _, _ in }.statistics
    let quantized = try Quantizer.quantize(graph, statistics, format).graph
    guard case .quantize(_, let first) = quantized.steps[0].operation else {
      Issue.record("the input is not quantized first")
      return
    }
    let (scale, zero) = (quantized.values[first].scale, Float(quantized.values[first].zeroPoint))
    let steps = input.values.map { Int8(min(max(($0 / scale).rounded(.toNearestOrEven) + zero, -128), 127)) }
    let values = NaiveInteger.evaluate(quantized, input: steps)
    let floats = FloatExecutorValues.all(graph, input.values)
    for (index, value) in quantized.values.enumerated() {
      let real = try #require(floats[value.name], "\(value.name)")
      let (signal, noise) = zip(values[index], real).reduce((0.0, 0.0)) { sums, pair in
        let error = Double(pair.1) - Double(Int(pair.0) - value.zeroPoint) * Double(value.scale)
        return (sums.0 + Double(pair.1) * Double(pair.1), sums.1 + error * error)
      }
      #expect(signal >= 250 * noise, "\(value.name): \(signal / noise)")
    }
  }
}

/// Every value that the float executor computes, by name.
private enum FloatExecutorValues {
  static func all(_ graph: Graph, _ input: [Float]) -> [String: [Float]] {
    var values: [String: [Float]] = [:]
    _ = FloatExecutor(graph).run([input]) { values[graph.values[$0].name] = $1 }
    return values
  }
}

extension Double {
  /// Ten to this power.
  fileprivate var powerOfTen: Double { pow(10, self) }
}
