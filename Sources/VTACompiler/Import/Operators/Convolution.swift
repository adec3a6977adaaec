extension OperatorRow {
  static let windowAttributes: [String: ONNXAttributeProto.AttributeType] = [
    "auto_pad": .string, "dilations": .ints, "kernel_shape": .ints, "pads": .ints, "strides": .ints,
  ]

  static let conv = OperatorRow(
    name: "Conv",
    mapping:
      "matrix products over the kernel's positions; with groups only over the channels of the block's groups, "
      + "with one channel per group by diagonal weights",
    inputs: [.activation("X"), .constant("W"), .optionalConstant("B")],
    attributes: windowAttributes.merging(["group": .int]) { $1 },
    constraints: OperatorConstraint.window + [
      OperatorConstraint("group must divide the input's and the output's channels") { node in
        let group = node.int("group", default: 1)
        guard let inputs = node.shape(0)?[1], let outputs = node.shape(1)?.first else { return nil }
        return group > 0 && inputs % group == 0 && outputs % group == 0
          ? nil : "group is \(group) of \(inputs) and \(outputs) channels"
      },
      OperatorConstraint(
        "the weights must be O×C×KH×KW for C input channels in each group and the kernel KH×KW"
      ) { node in
        guard let input = node.shape(0), let weights = node.shape(1), let kernel = node.kernelShape else {
          return "the weights are missing"
        }
        let isLegal =
          weights.count == 4 && weights[0] > 0 && weights[1] == input[1] / node.int("group", default: 1)
          && Array(weights[2...]) == kernel
        return isLegal
          ? nil : "the weights are \(Shape.text(weights)) for \(input[1]) channels and a kernel of \(kernel)"
      },
      OperatorConstraint("the bias must have one value per output channel") { node in
        guard let bias = node.shape(2), let weights = node.shape(1) else { return nil }
        return bias == [weights[0]] ? nil : "the bias is \(Shape.text(bias))"
      },
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let weights = try node.floats(1)
    let (window, height, width) = try node.window(over: shape)
    let channels = node.shape(1)?[0] ?? 0
    let bias = node.constant(2) == nil ? [Float](repeating: 0, count: channels) : try node.floats(2)
    let groups = node.int("group", default: 1)
    var term = LinearTerm(
      input: input, weights: .convolution(weights, groups: groups, inputs: shape[1], outputs: channels),
      window: window)
    term.weightScales = node.constant(1)?.outputScales(channels)
    try builder.add(
      .linear(LinearLayer(terms: [term], bias: bias)), shape: [shape[0], channels, height, width], for: node)
  }

  static let maxPool = OperatorRow(
    name: "MaxPool",
    mapping: "element-wise maximum of shifted tiles; padding does not take part",
    inputs: [.activation("X")],
    attributes: windowAttributes.merging(["ceil_mode": .int, "storage_order": .int]) { $1 },
    constraints: OperatorConstraint.window + [.padsBelowKernel]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let (window, height, width) = try node.window(over: shape)
    try builder.add(
      .maxPool(MaxPoolLayer(input: input, window: window)), shape: [shape[0], shape[1], height, width],
      for: node)
  }

  static let averagePool = OperatorRow(
    name: "AveragePool",
    mapping:
      "a sum over the window by matrix products with diagonal weights, and a shift; where edges cut the "
      + "window, other weights",
    inputs: [.activation("X")],
    attributes: windowAttributes.merging(["ceil_mode": .int, "count_include_pad": .int]) { $1 },
    constraints: OperatorConstraint.window + [.padsBelowKernel]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let (window, height, width) = try node.window(over: shape)
    let pads = node.ints("pads") ?? [0, 0, 0, 0]
    let isExplicit = node.string("auto_pad", default: "NOTSET") == "NOTSET"
    let declared =
      isExplicit ? Padding(top: pads[0], left: pads[1], bottom: pads[2], right: pads[3]) : window.padding
    let average = LinearLayer.average(
      input, of: shape, window: window, height: height, width: width,
      counted: node.int("count_include_pad") == 0 ? .none : declared)
    try builder.add(.linear(average), shape: [shape[0], shape[1], height, width], for: node)
  }

  static let globalMaxPool = OperatorRow(
    name: "GlobalMaxPool",
    mapping: "as MaxPool with the whole input as its window",
    inputs: [.activation("X")],
    attributes: [:],
    constraints: [.imageInput]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let window = Window.whole(of: shape)
    try builder.add(
      .maxPool(MaxPoolLayer(input: input, window: window)), shape: [shape[0], shape[1], 1, 1], for: node)
  }

  static let globalAveragePool = OperatorRow(
    name: "GlobalAveragePool",
    mapping: "as AveragePool with the whole input as its window",
    inputs: [.activation("X")],
    attributes: [:],
    constraints: [.imageInput]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let window = Window.whole(of: shape)
    let average = LinearLayer.average(input, of: shape, window: window, height: 1, width: 1, counted: .none)
    try builder.add(.linear(average), shape: [shape[0], shape[1], 1, 1], for: node)
  }
}

extension LinearTerm.Weights {
  static func convolution(_ weights: [Float], groups: Int, inputs: Int, outputs: Int) -> Self {
    if groups == 1 { return .dense(weights) }
    return groups == inputs && groups == outputs ? .depthwise(weights) : .grouped(weights, groups: groups)
  }
}

extension OperatorRow {
  static let reduceMean = OperatorRow(
    name: "ReduceMean",
    mapping: "as GlobalAveragePool",
    inputs: [.activation("data"), .optionalConstant("axes")],
    attributes: ["axes": .ints, "keepdims": .int, "noop_with_empty_axes": .int],
    constraints: [
      .imageInput,
      OperatorConstraint("axes must be those of height and width") { node in
        let axes = node.ints("axes") ?? node.constant(1)?.integers?.map { Int(clamping: $0) } ?? []
        return Set(axes.map { $0 < 0 ? $0 + 4 : $0 }) == [2, 3] ? nil : "axes is \(axes)"
      },
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let window = Window.whole(of: shape)
    let average = Operation.linear(
      LinearLayer.average(input, of: shape, window: window, height: 1, width: 1, counted: .none))
    let kept = [shape[0], shape[1], 1, 1]
    if node.int("keepdims", default: 1) != 0 {
      try builder.add(average, shape: kept, for: node)
    } else {
      let mean = try builder.addIntermediate(average, shape: kept, suffix: "/mean", for: node)
      try builder.add(.reshape(input: mean), shape: Array(shape[..<2]), for: node)
    }
  }
}

extension LinearLayer {
  /// - Parameters:
  ///   - shape: of the input, N×C×H×W.
  ///   - window: slides to `height × width` places.
  ///   - counted: zeros around the input that count as elements; what else the window covers does not.
  static func average(
    _ input: Int, of shape: [Int], window: Window, height: Int, width: Int, counted: Padding
  ) -> LinearLayer {
    func counts(
      _ outputs: Int, _ kernel: Int, _ stride: Int, padding: Int, elements: Range<Int>
    ) -> [Int] {
      (0..<outputs).map { (0..<kernel).offset(by: $0 * stride - padding).clamped(to: elements).count }
    }
    let rows = counts(
      height, window.kernel.height, window.stride.height, padding: window.padding.top,
      elements: -counted.top..<shape[2] + counted.bottom)
    let columns = counts(
      width, window.kernel.width, window.stride.width, padding: window.padding.left,
      elements: -counted.left..<shape[3] + counted.right)
    let shares = rows.flatMap { row in columns.map { 1 / Float(row * $0) } }
    let isSame = shares.allSatisfy { $0 == shares[0] }
    return LinearLayer(
      terms: [
        LinearTerm(input: input, weights: isSame ? .uniform(shares[0]) : .positional(shares), window: window)
      ],
      bias: [Float](repeating: 0, count: shape[1]))
  }
}

extension Range<Int> {
  fileprivate func offset(by distance: Int) -> Range<Int> { lowerBound + distance..<upperBound + distance }
}
