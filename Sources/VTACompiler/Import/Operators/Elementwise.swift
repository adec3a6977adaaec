extension OperatorRow {
  static let relu = OperatorRow(
    name: "Relu",
    mapping: "the lower bound of the layer before, or a layer of its own",
    inputs: [.activation("X")],
    attributes: [:]
  ) { node, builder throws(CompileError) in
    try builder.addClip(.relu, for: node)
  }

  static let leakyRelu = OperatorRow(
    name: "LeakyRelu",
    mapping:
      "the maximum of the sum and of shifted copies of it, in the layer before or one of its own; the slope is taken as "
      + "a sum of at most four powers of two",
    inputs: [.activation("X")],
    attributes: ["alpha": .float],
    constraints: [
      OperatorConstraint("alpha must be 1 or lie in 0…\(LeakySlope.largest)") { node in
        let alpha = node.float("alpha", default: 0.01)
        return alpha == 1 || (0...LeakySlope.largest).contains(alpha) ? nil : "alpha is \(alpha)"
      }
    ]
  ) { node, builder throws(CompileError) in
    let alpha = node.float("alpha", default: 0.01)
    try builder.addClip(alpha == 0 ? .relu : .none, slope: alpha == 0 ? 1 : alpha, for: node)
  }

  static let clip = OperatorRow(
    name: "Clip",
    mapping: "the bounds of the layer before, or a layer of its own",
    inputs: [.activation("input"), .optionalConstant("min"), .optionalConstant("max")],
    attributes: [:],
    constraints: [
      OperatorConstraint("min and max must be float scalars, min not above max") { node in
        for index in 1...2 {
          guard let bound = node.constant(index) else { continue }
          guard bound.floats?.count == 1 else { return "input \(index) is \(Shape.text(bound.shape))" }
        }
        let low = node.constant(1)?.floats?.first ?? -.infinity
        let high = node.constant(2)?.floats?.first ?? .infinity
        return low <= high ? nil : "min is \(low) and max is \(high)"
      }
    ]
  ) { node, builder throws(CompileError) in
    let low = node.constant(1)?.floats?.first ?? -.infinity
    let high = node.constant(2)?.floats?.first ?? .infinity
    try builder.addClip(Bounds(low: low, high: high), for: node)
  }

  static let batchNormalization = OperatorRow(
    name: "BatchNormalization",
    mapping: "folded into the layer before, or a scale and bias per channel of its own",
    inputs: [
      .activation("X"), .constant("scale"), .constant("B"), .constant("input_mean"), .constant("input_var"),
    ],
    attributes: ["epsilon": .float, "momentum": .float, "training_mode": .int],
    constraints: [
      OperatorConstraint("training_mode must be 0") { node in
        node.int("training_mode") == 0 ? nil : "training_mode is \(node.int("training_mode"))"
      },
      OperatorConstraint("the input must have a channel axis") { node in
        (node.shape(0)?.count ?? 0) > 1 ? nil : "the input is \(Shape.text(node.shape(0) ?? []))"
      },
      OperatorConstraint("scale, B, mean and variance must have one float per channel") { node in
        let channels = node.shape(0)?[1] ?? 0
        let found = (1...4).first { node.shape($0) != [channels] || node.constant($0)?.floats == nil }
        return found.map { "input \($0) is \(Shape.text(node.shape($0) ?? []))" }
      },
      OperatorConstraint("variance + epsilon must be positive") { node in
        let epsilon = node.float("epsilon", default: 1e-5)
        let smallest = node.constant(4)?.floats?.min() ?? 1
        return smallest + epsilon > 0 ? nil : "the smallest variance is \(smallest)"
      },
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let epsilon = node.float("epsilon", default: 1e-5)
    let (scale, offset) = (try node.floats(1), try node.floats(2))
    let (mean, variance) = (try node.floats(3), try node.floats(4))
    let weights = scale.indices.map {
      Float(Double(scale[$0]) / (Double(variance[$0]) + Double(epsilon)).squareRoot())
    }
    let bias = scale.indices.map { offset[$0] - mean[$0] * weights[$0] }
    let term = LinearTerm(input: input, weights: .depthwise(weights), window: .point)
    try builder.add(.linear(LinearLayer(terms: [term], bias: bias)), shape: shape, for: node)
  }
}

extension GraphBuilder {
  fileprivate mutating func addClip(
    _ bounds: Bounds, slope: Float = 1, for node: ONNXNode
  ) throws(CompileError) {
    let (input, shape) = try node.activation(0)
    let bias = [Float](repeating: 0, count: Geometry(shape: shape).channels)
    try add(
      .linear(LinearLayer(terms: [.scaled(input)], bias: bias, slope: slope, bounds: bounds)), shape: shape,
      for: node)
  }
}
