package import VTAModule

/// Whether a request fits the model, before the device is involved.
package enum InputCheck {
  /// Samples in one request.
  package static let samplesMax = 1 << 16

  /// - Returns: the common extent of the inputs' batch axes.
  static func sampleCount(
    of inputs: [String: Tensor], for module: Module
  ) throws(RuntimeError) -> Int {
    let types = inputs.map { ($0, ModelTensor(name: $0, dataType: $1.dataType, shape: $1.shape)) }
    return try sampleCount(of: Dictionary(uniqueKeysWithValues: types), for: module)
  }

  /// For those who look before they decode: says of names, types and shapes alone whether they fit.
  /// - Returns: the common extent of the inputs' batch axes.
  @discardableResult
  package static func sampleCount(
    of inputs: [String: ModelTensor], for module: Module
  ) throws(RuntimeError) -> Int {
    let known = module.inputs.map(\.name)
    if let unknown = inputs.keys.sorted().first(where: { !known.contains($0) }) {
      throw .unknownInput(name: unknown, known: known)
    }
    var first: (name: String, samples: Int)?
    for expected in module.inputs {
      guard let tensor = inputs[expected.name] else { throw .missingInput(name: expected.name) }
      guard tensor.dataType == expected.dataType else {
        throw .wrongDataType(input: expected.name, expected: expected.dataType, found: tensor.dataType)
      }
      guard let samples = tensor.shape.first, samples >= 1,
        tensor.shape.dropFirst() == expected.shape.dropFirst()
      else { throw .wrongShape(input: expected.name, expected: expected.shape, found: tensor.shape) }
      guard samples <= samplesMax else { throw .tooManySamples(samples: samples, maximum: samplesMax) }
      if let first, first.samples != samples {
        throw .differentBatches(
          input: expected.name, samples: samples, otherInput: first.name, otherSamples: first.samples)
      }
      first = first ?? (expected.name, samples)
    }
    return first?.samples ?? 1
  }
}
