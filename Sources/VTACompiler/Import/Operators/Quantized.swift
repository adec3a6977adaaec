/// Operators of quantized models. Integers of the file become integers of the accelerator: unsigned ones move down by 128,
/// and their zero point with them, so that nothing is rounded anew.
extension OperatorRow {
  static let quantizeLinear = OperatorRow(
    name: "QuantizeLinear", mapping: "the scale and zero point of its input",
    inputs: [.activation("x"), .constant("y_scale"), .optionalConstant("y_zero_point")],
    attributes: ["axis": .int, "saturate": .int, "block_size": .int, "output_dtype": .int],
    constraints: [.tensorScale(1, zeroPoint: 2)]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    try builder.quantize(input, shape: shape, try node.quantization(1, 2), for: node)
  }

  static let dequantizeLinear = OperatorRow(
    name: "DequantizeLinear",
    mapping:
      "nothing; a constant becomes weights that are kept as they are, or rounded anew where a zero point takes them beyond "
      + "signed bytes",
    inputs: [.any("x"), .constant("x_scale"), .optionalConstant("x_zero_point")],
    attributes: ["axis": .int, "block_size": .int],
    constraints: [
      OperatorConstraint(
        "a constant must be of INT8, UINT8 or INT32, with one scale or one for each entry of an axis"
      ) {
        node in
        guard let constant = node.constant(0) else { return nil }
        return constant.dequantized(node.constant(1), node.constant(2), axis: node.int("axis", default: 1))
          == nil
          ? "it is \(TensorElementType.name(Int32(constant.type))) of \(Shape.text(constant.shape)) with scales of "
            + Shape.text(node.shape(1) ?? []) : nil
      }
    ]
  ) { node, builder throws(CompileError) in
    guard let constant = node.constant(0) else {
      builder.define(node.outputs[0], node.operand(0))
      return
    }
    guard
      let tensor = constant.dequantized(
        node.constant(1), node.constant(2), axis: node.int("axis", default: 1))
    else { throw node.error("its scales do not fit") }
    builder.define(node.outputs[0], .constant(tensor))
  }

  static let qLinearConv = OperatorRow(
    name: "QLinearConv", mapping: "as Conv, with the integers of the file",
    inputs: [
      .activation("x"), .constant("x_scale"), .constant("x_zero_point"), .constant("w"), .constant("w_scale"),
      .constant("w_zero_point"), .constant("y_scale"), .constant("y_zero_point"), .optionalConstant("B"),
    ],
    attributes: windowAttributes.merging(["group": .int]) { $1 },
    constraints: [
      .tensorScale(1, zeroPoint: 2), .tensorScale(6, zeroPoint: 7),
      .integerWeights(3, scale: 4, zeroPoint: 5, axis: 0),
    ]
  ) { node, builder throws(CompileError) in
    let parts = [
      node.operand(0), .constant(try node.weights(3, 4, 5, axis: 0)), try node.integerBias(8, x: 1, w: 4),
    ]
    let conv = node.replacing(.conv, parts)
    try OperatorRow.conv.check(conv)
    try OperatorRow.conv.build(conv, &builder)
    try builder.requantize(node, try node.quantization(6, 7))
  }

  static let qLinearMatMul = OperatorRow(
    name: "QLinearMatMul", mapping: "as MatMul, with the integers of the file",
    inputs: [
      .activation("a"), .constant("a_scale"), .constant("a_zero_point"), .constant("b"), .constant("b_scale"),
      .constant("b_zero_point"), .constant("y_scale"), .constant("y_zero_point"),
    ],
    attributes: [:],
    constraints: [
      .tensorScale(1, zeroPoint: 2), .tensorScale(6, zeroPoint: 7),
      .integerWeights(3, scale: 4, zeroPoint: 5, axis: 1),
    ]
  ) { node, builder throws(CompileError) in
    let product = node.replacing(.matMul, [node.operand(0), .constant(try node.weights(3, 4, 5, axis: 1))])
    try OperatorRow.matMul.check(product)
    try OperatorRow.matMul.build(product, &builder)
    try builder.requantize(node, try node.quantization(6, 7))
  }

  static let qGemm = OperatorRow(
    name: "QGemm", mapping: "as Gemm, with the integers of the file (ONNX Runtime's operator)",
    inputs: [
      .activation("A"), .constant("a_scale"), .constant("a_zero_point"), .constant("B"), .constant("b_scale"),
      .constant("b_zero_point"), .optionalConstant("C"), .optionalConstant("y_scale"),
      .optionalConstant("y_zero_point"),
    ],
    attributes: ["alpha": .float, "transA": .int, "transB": .int],
    constraints: [
      .tensorScale(1, zeroPoint: 2),
      OperatorConstraint("alpha must be 1") { node in
        node.float("alpha", default: 1) == 1 ? nil : "alpha is \(node.float("alpha", default: 1))"
      },
      OperatorConstraint("B must be INT8 or UINT8 with one scale or one per output") { node in
        node.integerWeights(3, 4, 5, axis: node.int("transB") != 0 ? 0 : 1) == nil ? "B is not" : nil
      },
    ]
  ) { node, builder throws(CompileError) in
    let weights = try node.weights(3, 4, 5, axis: node.int("transB") != 0 ? 0 : 1)
    let gemm = node.replacing(
      .gemm, [node.operand(0), .constant(weights), try node.integerBias(6, x: 1, w: 4)])
    try OperatorRow.gemm.check(gemm)
    try OperatorRow.gemm.build(gemm, &builder)
    if node.constant(7) != nil { try builder.requantize(node, try node.quantization(7, 8)) }
  }

  static let qLinearAdd = OperatorRow(
    name: "QLinearAdd", mapping: "as Add, with the integers of the file (ONNX Runtime's operator)",
    inputs: [
      .activation("A"), .constant("A_scale"), .optionalConstant("A_zero_point"), .activation("B"),
      .constant("B_scale"), .optionalConstant("B_zero_point"), .constant("C_scale"),
      .optionalConstant("C_zero_point"),
    ],
    attributes: [:],
    constraints: [
      .tensorScale(1, zeroPoint: 2), .tensorScale(4, zeroPoint: 5), .tensorScale(6, zeroPoint: 7),
    ]
  ) { node, builder throws(CompileError) in
    let sum = node.replacing(.add, [node.operand(0), node.operand(3)])
    try OperatorRow.add.check(sum)
    try OperatorRow.add.build(sum, &builder)
    try builder.requantize(node, try node.quantization(6, 7))
  }

  static let qLinearGlobalAveragePool = OperatorRow(
    name: "QLinearGlobalAveragePool",
    mapping: "as GlobalAveragePool, with the integers of the file (ONNX Runtime's operator)",
    inputs: [
      .activation("X"), .constant("x_scale"), .constant("x_zero_point"), .constant("y_scale"),
      .constant("y_zero_point"),
    ],
    attributes: ["channels_last": .int],
    constraints: [
      .tensorScale(1, zeroPoint: 2), .tensorScale(3, zeroPoint: 4),
      OperatorConstraint("channels_last must be 0") { node in
        node.int("channels_last") == 0 ? nil : "channels_last is \(node.int("channels_last"))"
      },
    ]
  ) { node, builder throws(CompileError) in
    let pool = node.replacing(.globalAveragePool, [node.operand(0)])
    try OperatorRow.globalAveragePool.check(pool)
    try OperatorRow.globalAveragePool.build(pool, &builder)
    try builder.requantize(node, try node.quantization(3, 4))
  }
}

extension OperatorConstraint {
  fileprivate static func tensorScale(_ scale: Int, zeroPoint: Int) -> OperatorConstraint {
    OperatorConstraint(
      "input \(scale) must be one positive scale, and input \(zeroPoint) one zero point of INT8 or UINT8"
    ) { node in
      node.valueQuantization(scale, zeroPoint) == nil
        ? "they are \(Shape.text(node.shape(scale) ?? [])) and \(Shape.text(node.shape(zeroPoint) ?? []))"
        : nil
    }
  }

  fileprivate static func integerWeights(
    _ weights: Int, scale: Int, zeroPoint: Int, axis: Int
  ) -> OperatorConstraint {
    OperatorConstraint("the weights must be INT8 or UINT8 with one scale or one per output") { node in
      node.integerWeights(weights, scale, zeroPoint, axis: axis) == nil
        ? "they are \(Shape.text(node.shape(weights) ?? [])) with scales of \(Shape.text(node.shape(scale) ?? []))"
        : nil
    }
  }
}

extension ONNXNode {
  fileprivate func valueQuantization(_ scale: Int, _ zeroPoint: Int) -> ValueQuantization? {
    guard let values = constant(scale)?.floats, values.count == 1, values[0] > 0, values[0].isFinite else {
      return nil
    }
    // Without a zero point the type is UINT8.
    guard let zero = constant(zeroPoint) else { return ValueQuantization(scale: values[0], zeroPoint: -128) }
    guard let integers = zero.integers, integers.count == 1, TensorElementType.isByte(zero.type) else {
      return nil
    }
    let offset = zero.type == TensorElementType.uint8 ? 128 : 0
    return ValueQuantization(scale: values[0], zeroPoint: Int(integers[0]) - offset)
  }

  fileprivate func quantization(_ scale: Int, _ zeroPoint: Int) throws(CompileError) -> ValueQuantization {
    guard let found = valueQuantization(scale, zeroPoint) else {
      throw error("its scale is no positive number")
    }
    return found
  }

  fileprivate func integerWeights(_ weights: Int, _ scale: Int, _ zeroPoint: Int, axis: Int)
    -> ConstantTensor?
  {
    guard let tensor = constant(weights), TensorElementType.isByte(tensor.type) else { return nil }
    return tensor.dequantized(constant(scale), constant(zeroPoint), axis: axis)
  }

  fileprivate func weights(
    _ weights: Int, _ scale: Int, _ zeroPoint: Int, axis: Int
  ) throws(CompileError) -> ConstantTensor {
    guard let found = integerWeights(weights, scale, zeroPoint, axis: axis) else {
      throw error("its weights are no integers of 8 bits with scales")
    }
    return found
  }

  /// INT32, in units of input scale times weight scale.
  fileprivate func integerBias(_ index: Int, x: Int, w: Int) throws(CompileError) -> Operand {
    guard let bias = constant(index) else { return .absent }
    guard let integers = bias.integers, let input = constant(x)?.floats, let weights = constant(w)?.floats,
      input.count == 1, weights.count == 1 || weights.count == integers.count
    else { throw error("its bias is no INT32 tensor") }
    let values = integers.enumerated().map { index, value in
      Float(Double(value) * Double(input[0]) * Double(weights[weights.count == 1 ? 0 : index]))
    }
    return .constant(ConstantTensor(name: bias.name, shape: [values.count], elements: .floats(values)))
  }
}

extension TensorElementType {
  static let uint8 = 2
  static let int8 = 3
  static let int32 = 6
  static func isByte(_ type: Int) -> Bool { type == uint8 || type == int8 }
}

extension ConstantTensor {
  /// Real values of integers; `nil` if scale or zero point do not fit them.
  fileprivate func dequantized(
    _ scale: ConstantTensor?, _ zeroPoint: ConstantTensor?, axis: Int
  ) -> ConstantTensor? {
    guard let integers, TensorElementType.isByte(type) || type == TensorElementType.int32,
      let scales = scale?.floats, scales.allSatisfy({ $0 > 0 && $0.isFinite })
    else { return nil }
    let axis = axis < 0 ? axis + shape.count : axis
    let isSame = scales.count == 1
    guard isSame || (shape.indices.contains(axis) && scales.count == shape[axis]) else { return nil }
    let zeros = zeroPoint?.integers ?? [0]
    guard zeros.count == 1 || zeros.count == scales.count, zeroPoint == nil || zeroPoint?.type == type else {
      return nil
    }
    let run = isSame ? max(1, integers.count) : shape[(axis + 1)...].reduce(1, *)
    var values: [Float] = []
    values.reserveCapacity(integers.count)
    for (index, integer) in integers.enumerated() {
      let entry = isSame ? 0 : index / run % scales.count
      let moved = integer - zeros[zeros.count == 1 ? 0 : entry]
      values.append(Float(moved) * scales[entry])
    }
    return ConstantTensor(
      name: name, shape: shape, elements: .floats(values), scales: (scales, isSame ? 0 : axis))
  }

  /// Of a dequantized constant that is read like an activation: the file's scale, and a zero point with which its integers are
  /// an activation's; `nil` if it has no one scale.
  var valueQuantization: ValueQuantization? {
    guard let scales, scales.values.count == 1, let scale = scales.values.first, let floats,
      let low = floats.min(), let high = floats.max(), (high - low) / scale < 255.5
    else { return nil }
    // Those of a symmetric constant stay as they are.
    let zero = min(max(0, -128 - Int((low / scale).rounded())), 127 - Int((high / scale).rounded()))
    return ValueQuantization(scale: scale, zeroPoint: zero)
  }

  /// What an integer stands for, per output; `nil` for float weights and scales of another axis.
  func outputScales(_ outputs: Int, axis: Int = 0) -> [Float]? {
    guard let scales else { return nil }
    let run = scales.values.count == 1 ? Int.max : shape[(scales.axis + 1)...].reduce(1, *)
    // The accelerator's weights are signed: integers beyond theirs are rounded anew.
    let fits = (floats ?? []).enumerated().allSatisfy { index, value in
      (-128...127).contains((value / scales.values[index / run % scales.values.count]).rounded())
    }
    guard fits else { return nil }
    if scales.values.count == 1 { return [Float](repeating: scales.values[0], count: outputs) }
    return scales.axis == axis && scales.values.count == outputs ? scales.values : nil
  }
}

extension GraphBuilder {
  /// Gives the node's result the integers that the file says.
  fileprivate mutating func requantize(
    _ node: ONNXNode, _ quantization: ValueQuantization
  ) throws(CompileError) {
    guard case .activation(let value, let shape) = operand(node.outputs[0]) else { return }
    try quantize(value, shape: shape, quantization, for: node)
  }
}
