extension OperatorRow {
  static let flatten = OperatorRow(
    name: "Flatten",
    mapping: "nothing, or the kernel of the Gemm behind it; at the model's end, on the host",
    inputs: [.any("input")],
    attributes: ["axis": .int],
    constraints: [
      OperatorConstraint("axis must be 1 (the batch axis stays)") { node in
        let rank = node.shape(0)?.count ?? 0
        let axis = node.int("axis", default: 1)
        return axis == 1 || axis == 1 - rank ? nil : "axis is \(axis)"
      },
      OperatorConstraint("the input must have a batch axis") { node in
        node.shape(0)?.isEmpty == false ? nil : "the input is a scalar"
      },
    ]
  ) { node, builder throws(CompileError) in
    let shape = node.shape(0) ?? []
    try builder.addReshape([shape[0], shape[1...].reduce(1, *)], for: node)
  }

  static let reshape = OperatorRow(
    name: "Reshape",
    mapping: "as Flatten",
    inputs: [.any("data"), .constant("shape")],
    attributes: ["allowzero": .int],
    constraints: [
      OperatorConstraint("shape must be a vector of integers that keeps the number of elements") { node in
        node.reshapeTarget == nil
          ? "shape is \(node.constant(1)?.integers?.prefix(9).map(String.init) ?? []) for an input of "
            + Shape.text(node.shape(0) ?? []) : nil
      },
      OperatorConstraint("the batch axis must stay first") { node in
        guard case .activation = node.operand(0), let target = node.reshapeTarget else { return nil }
        return target.first == 1 ? nil : "the result is \(Shape.text(target))"
      },
    ]
  ) { node, builder throws(CompileError) in
    try builder.addReshape(node.reshapeTarget ?? [], for: node)
  }

  static let identity = OperatorRow(
    name: "Identity", mapping: "nothing", inputs: [.any("input")], attributes: [:]
  ) { node, builder throws(CompileError) in
    builder.define(node.outputs[0], node.operand(0))
  }

  static let dropout = OperatorRow(
    name: "Dropout", mapping: "nothing",
    inputs: [.any("data"), .optionalConstant("ratio"), .optionalConstant("training_mode")],
    attributes: ["ratio": .float, "seed": .int],
    constraints: [
      OperatorConstraint("training_mode must be false") { node in
        (node.constant(2)?.integers ?? []).contains { $0 != 0 } ? "training_mode is true" : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    builder.define(node.outputs[0], node.operand(0))
  }

  static let softmax = OperatorRow(
    name: "Softmax",
    mapping: "on the host: the accelerator has no exponential",
    inputs: [.activation("input")],
    attributes: ["axis": .int],
    constraints: [
      OperatorConstraint("axis must be one of the input's, but not the batch axis") { node in
        node.softmaxAxis == nil
          ? "axis is \(node.int("axis", default: -1)) of \(Shape.text(node.shape(0) ?? []))" : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    guard let axis = node.softmaxAxis else { throw node.error("the axis is not one of the input's") }
    let rest = shape[axis...].reduce(1, *)
    guard node.opset < 13, rest != shape[axis] else {
      try builder.add(.softmax(input: input, axis: axis), shape: shape, for: node)
      return
    }
    // Before opset 13 all axes from this one on are one.
    let flat = Array(shape[..<axis]) + [rest]
    let before = try builder.addIntermediate(
      .reshape(input: input), shape: flat, suffix: "/flat", for: node)
    let after = try builder.addIntermediate(
      .softmax(input: before, axis: axis), shape: flat, suffix: "/softmax", for: node)
    try builder.add(.reshape(input: after), shape: shape, for: node)
  }

  static let constantNode = OperatorRow(
    name: "Constant", mapping: "a constant of its consumers",
    inputs: [],
    attributes: [
      "value": .tensor, "value_float": .float, "value_floats": .floats, "value_int": .int,
      "value_ints": .ints,
    ],
    constraints: [
      OperatorConstraint("exactly one value must be given") { node in
        node.attributeNames.count == 1 ? nil : "it has \(node.attributeNames.count) values"
      }
    ]
  ) { node, builder throws(CompileError) in
    // Only a file's tensors can be external, and only initializers may be: the folder stays unknown here.
    let name = node.outputs[0]
    let constant: ConstantTensor
    if let attribute = node.attribute("value") {
      constant = try attribute.t.decoded(node.subject, external: ExternalData(folder: nil))
    } else if let attribute = node.attribute("value_float") {
      constant = ConstantTensor(name: name, shape: [], elements: .floats([attribute.f]))
    } else if let floats = node.attribute("value_floats")?.floats {
      constant = ConstantTensor(name: name, shape: [floats.count], elements: .floats(floats))
    } else if let attribute = node.attribute("value_int") {
      constant = ConstantTensor(name: name, shape: [], elements: .integers([attribute.i]))
    } else {
      let ints = node.attribute("value_ints")?.ints ?? []
      constant = ConstantTensor(name: name, shape: [ints.count], elements: .integers(ints))
    }
    builder.define(name, .constant(constant))
  }
}

extension ONNXNode {
  /// The axis, counted from the front; `nil` if there is no such axis or it is the batch axis.
  fileprivate var softmaxAxis: Int? {
    guard let rank = shape(0)?.count else { return nil }
    let axis = int("axis", default: opset < 13 ? 1 : -1)
    let positive = axis < 0 ? axis + rank : axis
    return (1..<max(rank, 1)).contains(positive) ? positive : nil
  }

  /// The result's shape with 0 (copy) and −1 (infer) resolved; `nil` if it does not fit the input.
  fileprivate var reshapeTarget: [Int]? {
    guard let shape = shape(0), let wanted = constant(1)?.integers, constant(1)?.shape.count == 1,
      wanted.count <= ImportLimits.rank,
      wanted.allSatisfy({ (-1...Int64(ImportLimits.activationElements)).contains($0) })
    else { return nil }
    var target = wanted.map { Int($0) }
    if int("allowzero") == 0 {
      for axis in target.indices where target[axis] == 0 {
        guard axis < shape.count else { return nil }
        target[axis] = shape[axis]
      }
    }
    let count = shape.reduce(1, *)
    var known = 1
    for extent in target where extent != -1 {
      let (product, overflow) = known.multipliedReportingOverflow(by: extent)
      guard !overflow else { return nil }
      known = product
    }
    if let open = target.firstIndex(of: -1) {
      guard target.lastIndex(of: -1) == open, known > 0, count % known == 0 else { return nil }
      target[open] = count / known
      known = count
    }
    return known == count ? target : nil
  }
}

extension GraphBuilder {
  mutating func addReshape(_ shape: [Int], for node: ONNXNode) throws(CompileError) {
    switch node.operand(0) {
    case .activation(let input, _): try add(.reshape(input: input), shape: shape, for: node)
    case .constant(var tensor):
      tensor.shape = shape
      define(node.outputs[0], .constant(tensor))
    case .absent: throw node.error("its input is missing")
    }
  }
}
