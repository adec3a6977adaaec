internal import VTAModule

/// Functions of each element that the accelerator cannot compute: it has neither exponentials nor products of
/// activations.
extension OperatorRow {
  static let sigmoid = function("Sigmoid", "the accelerator has no exponential") { _ in HostFunction(.sigmoid)
  }
  static let tanh = function("Tanh", "the accelerator has no exponential") { _ in HostFunction(.tanh) }
  static let exp = function("Exp", "the accelerator has no exponential") { _ in HostFunction(.exp) }
  static let softplus = function("Softplus", "the accelerator has no exponential") { _ in
    HostFunction(.softplus)
  }
  static let elu = function("Elu", "the accelerator has no exponential", ["alpha": .float]) { node in
    HostFunction(.elu, alpha: node.float("alpha", default: 1))
  }
  static let hardSigmoid = function(
    "HardSigmoid", "its slope is no sum of shifts in general", ["alpha": .float, "beta": .float]
  ) { node in
    HostFunction(
      .hardSigmoid, alpha: node.float("alpha", default: 0.2), beta: node.float("beta", default: 0.5))
  }
  static let hardSwish = function("HardSwish", "the accelerator cannot multiply activations") { _ in
    HostFunction(.hardSwish, alpha: 1 / 6, beta: 0.5)
  }

  private static func function(
    _ name: String, _ reason: String,
    _ attributes: [String: ONNXAttributeProto.AttributeType] = [:],
    _ function: @escaping @Sendable (ONNXNode) -> HostFunction
  ) -> OperatorRow {
    OperatorRow(
      name: name, mapping: "on the host: \(reason)", inputs: [.activation("X")], attributes: attributes,
      constraints: attributes.isEmpty
        ? []
        : [
          OperatorConstraint("alpha and beta must be finite") { node in
            let function = function(node)
            return function.alpha.isFinite && function.beta.isFinite
              ? nil : "alpha is \(function.alpha) and beta \(function.beta)"
          }
        ]
    ) { node, builder throws(CompileError) in
      let (input, shape) = try node.activation(0)
      try builder.add(.host(.activate(function(node)), [input]), shape: shape, for: node)
    }
  }
}
