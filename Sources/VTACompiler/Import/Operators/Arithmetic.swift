extension OperatorRow {
  static let add = OperatorRow(
    name: "Add",
    mapping: "a term in the sum of the convolution before it, two activations through identity weights into "
      + "one sum, or a bias of the layer before; a constant that differs by position as an activation",
    inputs: [.any("A"), .any("B")],
    attributes: [:],
    constraints: OperatorConstraint.sum
  ) { node, builder throws(CompileError) in
    try builder.addSum(signs: [1, 1], for: node)
  }

  static let sub = OperatorRow(
    name: "Sub",
    mapping: "as Add, with weights of opposite sign",
    inputs: [.any("A"), .any("B")],
    attributes: [:],
    constraints: OperatorConstraint.sum
  ) { node, builder throws(CompileError) in
    try builder.addSum(signs: [1, -1], for: node)
  }

  static let mul = OperatorRow(
    name: "Mul",
    mapping: "a factor of the weights of the layer before, or diagonal weights of its own",
    inputs: [.any("A"), .any("B")],
    attributes: [:],
    constraints: [
      OperatorConstraint("one operand must be a constant, since the accelerator cannot multiply activations")
      {
        node in
        node.constant(0) == nil && node.constant(1) == nil ? "both operands are computed" : nil
      },
      .channelConstant, .foldable,
    ]
  ) { node, builder throws(CompileError) in
    if builder.fold(node) { return }
    let index = node.constant(0) == nil ? 0 : 1
    let (_, shape) = try node.activation(index)
    try builder.addScale(node.constant(1 - index)?.perChannel(of: shape) ?? [], input: index, for: node)
  }

  static let div = OperatorRow(
    name: "Div",
    mapping: "as Mul, by the reciprocal",
    inputs: [.any("A"), .constant("B")],
    attributes: [:],
    constraints: [
      .channelConstant, .foldable,
      OperatorConstraint("B must not be 0") { node in
        (node.constant(1)?.floats ?? []).contains(0) ? "B holds a 0" : nil
      },
    ]
  ) { node, builder throws(CompileError) in
    if builder.fold(node) { return }
    let (_, shape) = try node.activation(0)
    let factors = node.constant(1)?.perChannel(of: shape)?.map { 1 / $0 } ?? []
    try builder.addScale(factors, input: 0, for: node)
  }
}

extension OperatorConstraint {
  fileprivate static let channelConstant = OperatorConstraint(
    "a constant operand must be float, one value or one per channel"
  ) { node in
    guard let index = [0, 1].first(where: { node.constant($0) != nil }),
      let constant = node.constant(index), node.constant(1 - index) == nil, let shape = node.shape(1 - index)
    else { return nil }
    return constant.perChannel(of: shape) == nil
      ? "the constant is \(Shape.text(constant.shape)) beside \(Shape.text(shape))" : nil
  }

  fileprivate static let sum = [
    OperatorConstraint("two activations must have the same shape") { node in
      guard case .activation(_, let a) = node.operand(0), case .activation(_, let b) = node.operand(1),
        a != b
      else { return nil }
      return "the operands are \(Shape.text(a)) and \(Shape.text(b))"
    },
    OperatorConstraint("a constant operand must be float, and not larger than the other") { node in
      guard let index = [0, 1].first(where: { node.constant($0) != nil }),
        let constant = node.constant(index), node.constant(1 - index) == nil,
        let shape = node.shape(1 - index)
      else { return nil }
      return constant.broadcast(to: shape) == nil
        ? "the constant is \(TensorElementType.name(Int32(clamping: constant.type))) of "
          + "\(Shape.text(constant.shape)) beside \(Shape.text(shape))" : nil
    },
    foldable,
  ]
}

extension GraphBuilder {
  /// The sum of both operands, each times its sign.
  fileprivate mutating func addSum(signs: [Float], for node: ONNXNode) throws(CompileError) {
    if fold(node) { return }
    var layer = LinearLayer(terms: [], bias: [])
    var shape: [Int] = []
    for index in 0...1 {
      guard case .activation(let input, let found) = node.operand(index) else { continue }
      layer.terms.append(.scaled(input, by: signs[index]))
      shape = found
    }
    layer.bias = [Float](repeating: 0, count: Geometry(shape: shape).channels)
    for index in 0...1 {
      guard let constant = node.constant(index) else { continue }
      if let values = constant.perChannel(of: shape) {
        layer.bias = values.map { $0 * signs[index] }
      } else if let elements = constant.broadcast(to: shape) {
        let value = try addConstant(
          elements, shape: shape, quantization: constant.valueQuantization, for: node)
        layer.terms.append(.scaled(value, by: signs[index]))
      }
    }
    try add(.linear(layer), shape: shape, for: node)
  }

  /// Defines the output of a node on two constants; `false` if it is something else.
  fileprivate mutating func fold(_ node: ONNXNode) -> Bool {
    guard let constant = node.folded else { return false }
    define(node.outputs[0], .constant(constant))
    return true
  }

  /// One operand times a factor per channel.
  fileprivate mutating func addScale(
    _ factors: [Float], input index: Int, for node: ONNXNode
  ) throws(CompileError) {
    let (input, shape) = try node.activation(index)
    let isSame = factors.allSatisfy { $0 == factors.first }
    let weights = isSame ? LinearTerm.Weights.uniform(factors.first ?? 0) : .depthwise(factors)
    let term = LinearTerm(input: input, weights: weights, window: .point)
    let bias = [Float](repeating: 0, count: factors.count)
    try add(.linear(LinearLayer(terms: [term], bias: bias)), shape: shape, for: node)
  }
}

extension ConstantTensor {
  /// The constant as one value per channel (axis 1) of an activation, by ONNX's broadcasting; `nil` if it varies
  /// along another axis or does not fit.
  func perChannel(of shape: [Int]) -> [Float]? {
    guard let floats, shape.count > 1, self.shape.count <= shape.count else { return nil }
    let channels = shape[1]
    let extents = [Int](repeating: 1, count: shape.count - self.shape.count) + self.shape
    for (axis, extent) in extents.enumerated() where extent != 1 {
      guard axis == 1, extent == channels else { return nil }
    }
    return floats.count == channels ? floats : floats.first.map { [Float](repeating: $0, count: channels) }
  }
}
