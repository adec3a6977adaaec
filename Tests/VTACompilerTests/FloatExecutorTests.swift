import SwiftProtobuf
import Testing

@testable import VTACompiler

/// Import, simplification and float arithmetic against ONNX Runtime.
@Suite struct FloatExecutorTests {
  @Test(arguments: Fixtures.names)
  func importedGraphAnswersAsONNXRuntime(_ name: String) throws {
    try check(try Fixtures.graph(name), name)
  }

  @Test(arguments: Fixtures.names)
  func simplifiedGraphAnswersAsONNXRuntime(_ name: String) throws {
    try check(try Fixtures.simplified(name), name)
  }

  private func check(_ graph: Graph, _ name: String) throws {
    let entry = try #require(Fixtures.entries[name])
    #expect(Set(graph.inputs.map { graph.values[$0].name }) == Set(entry.inputs.keys))
    let inputs = try graph.inputs.map { input in
      let tensor = try #require(entry.inputs[graph.values[input].name])
      #expect(graph.values[input].shape == tensor.shape)
      return tensor.values
    }
    let results = FloatExecutor(graph).run(inputs)
    #expect(Set(graph.outputs.map(\.name)) == Set(entry.outputs.keys))
    for (output, result) in zip(graph.outputs, results) {
      let expected = try #require(entry.outputs[output.name])
      #expect(graph.values[output.value].shape == expected.shape, "\(output.name)")
      #expect(result.count == expected.values.count)
      // Sums of up to some hundred products in another order.
      let worst = zip(result, expected.values).map { abs($0 - $1) / max(1, abs($1)) }.max() ?? 0
      #expect(worst < 2e-6, "\(output.name): \(result.prefix(8)) instead of \(expected.values.prefix(8))")
    }
  }

  /// What the documentation lists is what the recordings cover, each operator under every operator set.
  @Test func everyOperatorIsRecorded() throws {
    var found: [String: Set<Int64>] = [:]
    for name in Fixtures.names {
      let model = try ONNXModelProto(serializedBytes: try Fixtures.model(name))
      let opset = try #require(model.opsetImport.first?.version)
      for node in model.graph.node { found[node.opType, default: []].insert(opset) }
    }
    // Those of quantized models: Tests/interop/test_quantized_import.py.
    let quantized: Set = [
      "DequantizeLinear", "QGemm", "QLinearAdd", "QLinearConv", "QLinearGlobalAveragePool", "QLinearMatMul",
      "QuantizeLinear",
    ]
    #expect(Set(found.keys) == Set(OperatorRow.all.map(\.name)).subtracting(quantized))
    for (name, opsets) in found {
      let first = name == "HardSwish" ? 14 : ImportLimits.opsets.lowerBound
      #expect(opsets == Set((first...ImportLimits.opsets.upperBound).map { Int64($0) }), "\(name)")
    }
  }
}
