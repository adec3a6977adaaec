/// Whether a module makes sense as a whole, wherever it comes from.
package enum ModuleCheck {
  /// - Throws: ``ModuleError`` for the first thing that is wrong.
  package static func check(_ module: Module) throws(ModuleError) {}
}

extension Module {
  /// Shapes of all tensors on the host, with the batch axis (1) first.
  package var hostShapes: [HostTensorName: [Int]] {
    var shapes = Dictionary(inputs.map { ($0.name, $0.shape) }) { first, _ in first }
    for step in steps {
      switch step {
      case .quantize, .program: break
      case .dequantize(_, let output, let shape), .reshape(_, let output, let shape): shapes[output] = shape
      case .softmax(let input, let output, _): shapes[output] = shapes[input]
      }
    }
    return shapes
  }
}
