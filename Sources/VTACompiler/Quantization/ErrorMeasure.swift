package import VTAModule

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// Signal-to-quantization-noise ratios of a layer's result, in decibels.
package struct LayerError: Hashable, Sendable, Encodable {
  /// Of the layer alone, given the integers that it reads.
  package let own: Double
  /// Of all layers up to here, against the float network.
  package let accumulated: Double
}

/// Compares what an accelerator computed for one sample with the float network.
package struct ErrorMeasure: Sendable {
  let graph: Graph
  /// The sample: elements of each input.
  let sample: [[Float]]

  /// The sample as tensors, to run the module with.
  package var inputs: [String: Tensor] {
    Dictionary(
      uniqueKeysWithValues: zip(graph.inputs, sample).map { value, elements in
        (graph.values[value].name, Tensor(elements, shape: graph.values[value].shape))
      })
  }

  /// - Parameter device: integers of the accelerator's tensors, by name.
  /// - Returns: by the name of the tensor that a layer computes.
  package func errors(_ device: [String: Tensor], _ tensors: [DeviceTensor]) -> [String: LayerError] {
    var actual: [Int: [Float]] = [:]
    let known = Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    for (index, value) in graph.values.enumerated() {
      guard let tensor = known[value.name], let integers = device[value.name], integers.dataType == .int8
      else {
        continue
      }
      actual[index] = integers.elements(as: Int8.self).map {
        Float(Int($0) - tensor.zeroPoint) * tensor.scale
      }
    }
    let executor = FloatExecutor(graph)
    var errors: [String: LayerError] = [:]
    _ = executor.run(sample) { value, exact in
      guard let found = actual[value], found.count == exact.count,
        let own = executor.recomputed(value, from: actual)
      else { return }
      errors[graph.values[value].name] = LayerError(
        own: Self.decibels(own, found), accumulated: Self.decibels(exact, found))
    }
    return errors
  }

  /// At most 200, for equal signals.
  private static func decibels(_ signal: [Float], _ noisy: [Float]) -> Double {
    var (power, noise) = (0.0, 0.0)
    for (exact, found) in zip(signal, noisy) {
      power += Double(exact) * Double(exact)
      noise += Double(exact - found) * Double(exact - found)
    }
    if noise == 0 { return 200 }
    return power == 0 ? -200 : max(-200, min(200, 10 * log10(power / noise)))
  }
}
