internal import VTAModule

/// Operators that put elements elsewhere.
extension OperatorRow {
  static let concat = OperatorRow(
    name: "Concat",
    mapping:
      "identity weights that write each input to its own channels; along another axis than the channels of images, "
      + "on the host",
    inputs: [.any("inputs")],
    isVariadic: true,
    attributes: ["axis": .int],
    constraints: [
      OperatorConstraint("the inputs must all be computed, or all be constants of one type") { node in
        let constants = node.operands.indices.compactMap { node.constant($0) }
        if constants.isEmpty { return nil }
        if constants.count < node.operands.count { return "some are computed and some constant" }
        return Set(constants.map(\.type)).count == 1 ? nil : "their types differ"
      },
      OperatorConstraint("axis must be one of the inputs', but not the batch axis") { node in
        node.concatAxis == nil ? "axis is \(node.int("axis")) of \(Shape.text(node.shape(0) ?? []))" : nil
      },
      OperatorConstraint("the inputs must have the same shape but for the axis") { node in
        guard let axis = node.concatAxis, let first = node.shape(0) else { return nil }
        for index in node.operands.indices {
          var shape = node.shape(index) ?? []
          if shape.count == first.count { shape[axis] = first[axis] }
          if shape != first { return "input \(index) is \(Shape.text(node.shape(index) ?? []))" }
        }
        return nil
      },
    ]
  ) { node, builder throws(CompileError) in
    let constants = node.operands.indices.compactMap { node.constant($0) }
    if !constants.isEmpty {
      guard let axis = node.concatAxis,
        let joined = ConstantTensor.joined(constants, axis: axis, name: node.outputs[0])
      else { throw node.error("its constants do not fit") }
      builder.define(node.outputs[0], .constant(joined))
      return
    }
    var inputs: [(value: Int, shape: [Int])] = []
    for index in node.operands.indices { inputs.append(try node.activation(index)) }
    guard let axis = node.concatAxis, var shape = inputs.first?.shape else {
      throw node.error("the axis is not one of the inputs'")
    }
    if inputs.count == 1 {
      builder.define(node.outputs[0], node.operand(0))
      return
    }
    shape[axis] = inputs.reduce(0) { $0 + $1.shape[axis] }
    guard axis == 1, shape.count == 4 else {
      try builder.add(.host(.concatenate(axis: axis), inputs.map(\.value)), shape: shape, for: node)
      return
    }
    var terms: [LinearTerm] = []
    var offset = 0
    for input in inputs {
      terms.append(LinearTerm(input: input.value, weights: .selection(offset: offset), window: .point))
      offset += input.shape[1]
    }
    let bias = [Float](repeating: 0, count: shape[1])
    try builder.add(.linear(LinearLayer(terms: terms, bias: bias)), shape: shape, for: node)
  }

  static let pad = OperatorRow(
    name: "Pad",
    mapping: "zeros around the windows of the layer behind it, or identity weights of its own",
    inputs: [
      .activation("data"), .constant("pads"), .optionalConstant("constant_value"), .optionalConstant("axes"),
    ],
    attributes: ["mode": .string],
    constraints: [
      .imageInput,
      OperatorConstraint("mode must be constant") { node in
        let mode = node.string("mode", default: "constant")
        return mode == "constant" ? nil : "mode is \(quoted(mode))"
      },
      OperatorConstraint("constant_value must be 0") { node in
        let value = node.constant(2)?.floats?.first ?? 0
        return value == 0 ? nil : "constant_value is \(value)"
      },
      OperatorConstraint(
        "pads must be at most \(ImportLimits.windowExtent) at each edge of height and width, 0 at the other axes, and "
          + "leave something"
      ) { node in
        node.spatialPads == nil
          ? "pads is \(node.constant(1)?.integers?.prefix(9).map(String.init) ?? [])" : nil
      },
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    guard let pads = node.spatialPads else { throw node.error("its pads are not those of an image") }
    var term = LinearTerm.scaled(input)
    term.window.padding = pads
    try builder.add(
      .linear(LinearLayer(terms: [term], bias: [Float](repeating: 0, count: shape[1]))),
      shape: [
        shape[0], shape[1], shape[2] + pads.top + pads.bottom, shape[3] + pads.left + pads.right,
      ], for: node)
  }

  static let transpose = OperatorRow(
    name: "Transpose",
    mapping: "on the host: the accelerator keeps channels, height and width",
    inputs: [.any("data")],
    attributes: ["perm": .ints],
    constraints: [
      OperatorConstraint("perm must order the input's axes, the batch axis first") { node in
        node.permutation == nil ? "perm is \(node.ints("perm") ?? [])" : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    guard let permutation = node.permutation else { throw node.error("perm is no order of the axes") }
    switch node.operand(0) {
    case .activation(let input, let shape):
      try builder.add(
        .host(.transpose(permutation), [input]), shape: permutation.map { shape[$0] }, for: node)
    case .constant(let tensor): builder.define(node.outputs[0], .constant(tensor.transposed(permutation)))
    case .absent: throw node.error("its input is missing")
    }
  }

  static let squeeze = OperatorRow(
    name: "Squeeze", mapping: "as Flatten", inputs: [.any("data"), .optionalConstant("axes")],
    attributes: ["axes": .ints],
    constraints: [
      OperatorConstraint("axes must name axes of extent 1 other than the batch axis") { node in
        node.squeezed == nil
          ? "axes is \(node.givenAxes ?? []) of \(Shape.text(node.shape(0) ?? []))" : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    try builder.addReshape(node.squeezed ?? [], for: node)
  }

  static let unsqueeze = OperatorRow(
    name: "Unsqueeze", mapping: "as Flatten", inputs: [.any("data"), .optionalConstant("axes")],
    attributes: ["axes": .ints],
    constraints: [
      OperatorConstraint("axes must name different axes of the result, not before the batch axis") { node in
        node.unsqueezed == nil
          ? "axes is \(node.givenAxes ?? []) for \(Shape.text(node.shape(0) ?? []))" : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    try builder.addReshape(node.unsqueezed ?? [], for: node)
  }
}

extension ONNXNode {
  fileprivate var concatAxis: Int? {
    guard let rank = shape(0)?.count, attribute("axis") != nil else { return nil }
    let axis = int("axis")
    let positive = axis < 0 ? axis + rank : axis
    return (0..<rank).contains(positive) && !isBatch(positive) ? positive : nil
  }

  /// Pads of height and width; `nil` if they are something else.
  fileprivate var spatialPads: Padding? {
    guard let shape = shape(0), shape.count == 4, let pads = constant(1)?.integers else { return nil }
    let axes = constant(3)?.integers?.map { Int(clamping: $0) } ?? [0, 1, 2, 3]
    guard pads.count == 2 * axes.count else { return nil }
    let limit = Int64(ImportLimits.windowExtent)
    var all = [[0, 0], [0, 0], [0, 0], [0, 0]]
    for (index, axis) in axes.enumerated() {
      let axis = axis < 0 ? axis + 4 : axis
      guard all.indices.contains(axis), (-limit...limit).contains(pads[index]),
        (-limit...limit).contains(pads[index + axes.count])
      else { return nil }
      all[axis] = [Int(pads[index]), Int(pads[index + axes.count])]
    }
    guard all[0] == [0, 0], all[1] == [0, 0] else { return nil }
    // What is cut off must not meet.
    for axis in 2...3 where min(0, all[axis][0]) + min(0, all[axis][1]) + shape[axis] <= 0 { return nil }
    return Padding(top: all[2][0], left: all[3][0], bottom: all[2][1], right: all[3][1])
  }

  fileprivate var permutation: [Int]? {
    guard let rank = shape(0)?.count else { return nil }
    let permutation = ints("perm") ?? Array((0..<rank).reversed())
    guard permutation.sorted() == Array(0..<rank) else { return nil }
    if case .activation = operand(0), permutation.first != 0 { return nil }
    return permutation
  }

  /// From the attribute (before opset 13) or the input.
  fileprivate var givenAxes: [Int]? { ints("axes") ?? constant(1)?.integers?.map { Int(clamping: $0) } }

  private func isBatch(_ axis: Int) -> Bool {
    if case .activation = operand(0) { axis == 0 } else { false }
  }

  /// The shape without the axes.
  fileprivate var squeezed: [Int]? {
    guard let shape = shape(0) else { return nil }
    let all = shape.indices.filter { shape[$0] == 1 && !isBatch($0) }
    let axes = Set(givenAxes?.map { $0 < 0 ? $0 + shape.count : $0 } ?? all)
    guard axes.allSatisfy({ shape.indices.contains($0) && shape[$0] == 1 && !isBatch($0) }) else {
      return nil
    }
    return shape.indices.filter { !axes.contains($0) }.map { shape[$0] }
  }

  /// The shape with axes of extent 1 inserted.
  fileprivate var unsqueezed: [Int]? {
    guard let shape = shape(0), let given = givenAxes, given.count <= ImportLimits.rank else { return nil }
    let rank = shape.count + given.count
    let axes = Set(given.map { $0 < 0 ? $0 + rank : $0 })
    guard axes.count == given.count, rank <= ImportLimits.rank,
      axes.allSatisfy({ (0..<rank).contains($0) && !isBatch($0) })
    else { return nil }
    var rest = shape[...]
    return (0..<rank).map { axes.contains($0) ? 1 : rest.removeFirst() }
  }
}

extension ConstantTensor {
  fileprivate func transposed(_ permutation: [Int]) -> ConstantTensor {
    var result = self
    result.shape = permutation.map { shape[$0] }
    switch elements {
    case .floats(let values):
      result.elements = .floats(TensorArrangement.transpose(values, shape: shape, permutation))
    case .integers(let values):
      result.elements = .integers(TensorArrangement.transpose(values, shape: shape, permutation))
    }
    return result
  }
}
