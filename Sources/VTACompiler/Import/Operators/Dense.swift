extension OperatorRow {
  static let gemm = OperatorRow(
    name: "Gemm",
    mapping: "a matrix product; behind Flatten, a convolution whose kernel is the whole input",
    inputs: [.activation("A"), .constant("B"), .optionalConstant("C")],
    attributes: ["alpha": .float, "beta": .float, "transA": .int, "transB": .int],
    constraints: [
      OperatorConstraint("transA must be 0") { node in
        node.int("transA") == 0 ? nil : "transA is \(node.int("transA"))"
      },
      .flatInput,
      OperatorConstraint("B must be a float matrix that fits A") { node in
        node.denseWeights(isTransposed: node.int("transB") != 0) == nil
          ? "B is \(Shape.text(node.shape(1) ?? [])) for A of \(Shape.text(node.shape(0) ?? []))" : nil
      },
      OperatorConstraint("C must be float, one value or one per output") { node in
        guard let constant = node.constant(2),
          let dense = node.denseWeights(isTransposed: node.int("transB") != 0)
        else { return nil }
        return constant.perChannel(of: [1, dense.outputs]) == nil ? "C is \(Shape.text(constant.shape))" : nil
      },
    ]
  ) { node, builder throws(CompileError) in
    let beta = node.float("beta", default: 1)
    let alpha = node.float("alpha", default: 1)
    try builder.addDense(
      isTransposed: node.int("transB") != 0, alpha: alpha,
      bias: { outputs in node.constant(2)?.perChannel(of: [1, outputs])?.map { $0 * beta } }, for: node)
  }

  static let matMul = OperatorRow(
    name: "MatMul",
    mapping: "as Gemm",
    inputs: [.activation("A"), .constant("B")],
    attributes: [:],
    constraints: [
      .flatInput,
      OperatorConstraint("B must be a float matrix that fits A") { node in
        node.denseWeights(isTransposed: false) == nil
          ? "B is \(Shape.text(node.shape(1) ?? [])) for A of \(Shape.text(node.shape(0) ?? []))" : nil
      },
    ]
  ) { node, builder throws(CompileError) in
    try builder.addDense(isTransposed: false, alpha: 1, bias: { _ in nil }, for: node)
  }
}

extension OperatorConstraint {
  fileprivate static let flatInput = OperatorConstraint("A must be N×K") { node in
    guard let shape = node.shape(0), shape.count != 2 else { return nil }
    return "A is \(Shape.text(shape))"
  }
}

extension ONNXNode {
  /// Weights of input 1 as outputs × inputs; `nil` if they do not fit input 0.
  fileprivate func denseWeights(isTransposed: Bool) -> (constant: ConstantTensor, outputs: Int)? {
    guard let constant = constant(1), constant.floats != nil, constant.shape.count == 2,
      let inputs = shape(0)?.last
    else { return nil }
    let (rows, columns) = (constant.shape[0], constant.shape[1])
    let outputs = isTransposed ? rows : columns
    guard (isTransposed ? columns : rows) == inputs, outputs > 0 else { return nil }
    return (constant, outputs)
  }
}

extension GraphBuilder {
  fileprivate mutating func addDense(
    isTransposed: Bool, alpha: Float, bias: (Int) -> [Float]?, for node: ONNXNode
  ) throws(CompileError) {
    let (input, shape) = try node.activation(0)
    guard let dense = node.denseWeights(isTransposed: isTransposed), var weights = dense.constant.floats
    else {
      throw node.error("B does not fit A")
    }
    let (outputs, inputs) = (dense.outputs, shape[1])
    if !isTransposed {
      let columns = weights
      for output in 0..<outputs {
        for input in 0..<inputs { weights[output * inputs + input] = columns[input * outputs + output] }
      }
    }
    if alpha != 1 { weights = weights.map { $0 * alpha } }
    var term = LinearTerm(input: input, weights: .dense(weights), window: .point)
    if alpha == 1 { term.weightScales = dense.constant.outputScales(outputs, axis: isTransposed ? 0 : 1) }
    let layer = LinearLayer(terms: [term], bias: bias(outputs) ?? [Float](repeating: 0, count: outputs))
    try add(.linear(layer), shape: [shape[0], outputs], for: node)
  }
}
