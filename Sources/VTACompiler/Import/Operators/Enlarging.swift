/// Operators whose output is larger than their input.
extension OperatorRow {
  static let convTranspose = OperatorRow(
    name: "ConvTranspose",
    mapping:
      "one convolution for each phase of the stride, which write interleaved output positions: no zeros are multiplied",
    inputs: [.activation("X"), .constant("W"), .optionalConstant("B")],
    attributes: [
      "auto_pad": .string, "dilations": .ints, "group": .int, "kernel_shape": .ints, "output_padding": .ints,
      "pads": .ints, "strides": .ints,
    ],
    constraints: [
      .imageInput, .kernel,
      OperatorConstraint("both strides must lie in 1…\(ImportLimits.enlargement)") { node in
        let strides = node.ints("strides") ?? [1, 1]
        let isLegal = strides.count == 2 && strides.allSatisfy { (1...ImportLimits.enlargement).contains($0) }
        return isLegal ? nil : "the strides are \(strides)"
      },
      .dilations,
      OperatorConstraint("auto_pad must be NOTSET or VALID") { node in
        let value = node.string("auto_pad", default: "NOTSET")
        return ["NOTSET", "VALID"].contains(value) ? nil : "auto_pad is \(quoted(value))"
      },
      .pads,
      OperatorConstraint("output_padding must be smaller than the strides") { node in
        let padding = node.ints("output_padding") ?? [0, 0]
        let strides = node.ints("strides") ?? [1, 1]
        let isLegal = padding.count == 2 && zip(padding, strides).allSatisfy { $0 >= 0 && $0 < $1 }
        return isLegal ? nil : "output_padding is \(padding) for strides of \(strides)"
      },
      OperatorConstraint("group must divide the input's channels") { node in
        let group = node.int("group", default: 1)
        guard let channels = node.shape(0)?[1] else { return nil }
        return group > 0 && channels % group == 0 ? nil : "group is \(group) of \(channels) channels"
      },
      OperatorConstraint(
        "the weights must be C×O×KH×KW for C input channels, O outputs in each group and the kernel KH×KW"
      ) { node in
        guard let input = node.shape(0), let weights = node.shape(1), let kernel = node.kernelShape else {
          return "the weights are missing"
        }
        let isLegal =
          weights.count == 4 && weights[0] == input[1] && weights[1] > 0 && Array(weights[2...]) == kernel
        return isLegal
          ? nil : "the weights are \(Shape.text(weights)) for \(input[1]) channels and a kernel of \(kernel)"
      },
      OperatorConstraint("the bias must have one value per output channel") { node in
        guard let bias = node.shape(2), let weights = node.shape(1) else { return nil }
        return bias == [weights[1] * node.int("group", default: 1)] ? nil : "the bias is \(Shape.text(bias))"
      },
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    let kernel = node.kernelShape ?? [1, 1]
    let pads = node.string("auto_pad", default: "NOTSET") == "VALID" ? nil : node.ints("pads")
    let axes = (0...1).map { axis in
      TransposedAxis(
        input: shape[2 + axis], kernel: kernel[axis], stride: node.ints("strides")?[axis] ?? 1,
        pads: (pads?[axis] ?? 0, pads?[2 + axis] ?? 0), extra: node.ints("output_padding")?[axis] ?? 0)
    }
    guard axes.allSatisfy({ $0.output > 0 }) else {
      throw node.error("its pads leave an output of \(axes[0].output)×\(axes[1].output)")
    }
    let weights = TransposedWeights(
      values: try node.floats(1), inputs: shape[1], groups: node.int("group", default: 1), kernel: kernel)
    let bias =
      node.constant(2) == nil ? [Float](repeating: 0, count: weights.outputs) : try node.floats(2)
    var terms: [LinearTerm] = []
    for row in axes[0].phases {
      for column in axes[1].phases {
        terms.append(
          LinearTerm(
            input: input, weights: weights.part(row.taps, column.taps),
            window: Window(
              kernel: .init(height: row.taps.count, width: column.taps.count), stride: Window.point.stride,
              padding: Padding(
                top: row.before, left: column.before, bottom: row.after, right: column.after)),
            places: Places(rows: row.places, columns: column.places)))
      }
    }
    try builder.add(
      .linear(LinearLayer(terms: terms, bias: bias)),
      shape: [shape[0], weights.outputs, axes[0].output, axes[1].output], for: node)
  }

  static let resize = OperatorRow(
    name: "Resize",
    mapping: "identity weights that write each input position to several output positions",
    inputs: [
      .activation("X"), .optionalConstant("roi"), .optionalConstant("scales"), .optionalConstant("sizes"),
    ],
    attributes: [
      "coordinate_transformation_mode": .string, "cubic_coeff_a": .float, "exclude_outside": .int,
      "extrapolation_value": .float, "mode": .string, "nearest_mode": .string,
    ],
    constraints: [
      .imageInput,
      OperatorConstraint("mode must be nearest") { node in
        let mode = node.string("mode", default: "nearest")
        return mode == "nearest" ? nil : "mode is \(quoted(mode))"
      },
      OperatorConstraint(
        "height and width must grow by whole factors of 1…\(ImportLimits.enlargement), batch and channels not at all"
      ) { node in
        node.resizeFactors == nil ? "\(node.resizeRequest) is asked for" : nil
      },
      OperatorConstraint(
        "coordinate_transformation_mode and nearest_mode must repeat each position as often as the factor says"
      ) { node in
        node.resizeFactors?.allSatisfy(node.repeats) == false
          ? "\(node.coordinates) with \(node.rounding) does not" : nil
      },
    ]
  ) { node, builder throws(CompileError) in
    let (input, shape) = try node.activation(0)
    guard let factors = node.resizeFactors else { throw node.error("its factors are not whole") }
    var terms: [LinearTerm] = []
    for row in 0..<factors[0] {
      for column in 0..<factors[1] {
        var term = LinearTerm.scaled(input)
        term.places = Places(
          rows: .init(first: row, stride: factors[0]), columns: .init(first: column, stride: factors[1]))
        terms.append(term)
      }
    }
    try builder.add(
      .linear(LinearLayer(terms: terms, bias: [Float](repeating: 0, count: shape[1]))),
      shape: [shape[0], shape[1], shape[2] * factors[0], shape[3] * factors[1]], for: node)
  }
}

// MARK: - Transposed convolution

/// One axis of a transposed convolution: input q and tap i add to output `q · stride + i − pads.0`.
private struct TransposedAxis {
  /// The outputs `first + stride · t`: a convolution with every stride-th tap.
  struct Phase {
    let places: Places.Axis
    /// Taps in the order in which ascending inputs meet them.
    let taps: [Int]
    let before: Int
    let after: Int
  }
  let output: Int
  let phases: [Phase]

  /// - Parameter extra: output positions added at the end.
  init(input: Int, kernel: Int, stride: Int, pads: (Int, Int), extra: Int) {
    output = stride * (input - 1) + extra + kernel - pads.0 - pads.1
    // One input position meets each output with one tap, whatever the stride: then no phase needs two.
    let stride = input == 1 && kernel <= ImportLimits.enlargement ? max(stride, kernel) : stride
    phases = (0..<max(0, min(stride, output))).compactMap { [output] first in
      let lowest = (first + pads.0) % stride
      let taps = Array(Swift.stride(from: lowest, to: kernel, by: stride).reversed())
      if taps.isEmpty { return nil }
      // Output t of the phase meets input t + offset with the lowest tap, and earlier ones with the others.
      let offset = (first + pads.0 - lowest) / stride
      let places = Places.Axis(first: first, stride: stride)
      return Phase(
        places: places, taps: taps, before: taps.count - 1 - offset,
        after: places.indices(in: 0..<output).count + offset - input)
    }
  }
}

/// Weights `C × O/groups × KH × KW`, as ONNX has them for ConvTranspose.
private struct TransposedWeights {
  let values: [Float]
  let inputs: Int
  let groups: Int
  let kernel: [Int]

  private var outputsPerGroup: Int { values.count / (inputs * kernel[0] * kernel[1]) }
  var outputs: Int { outputsPerGroup * groups }

  /// The weights of a convolution with some of the taps.
  func part(_ rows: [Int], _ columns: [Int]) -> LinearTerm.Weights {
    var result: [Float] = []
    let inputsPerGroup = inputs / groups
    for output in 0..<outputs {
      let group = output / outputsPerGroup
      for input in group * inputsPerGroup..<(group + 1) * inputsPerGroup {
        let start = (input * outputsPerGroup + output % outputsPerGroup) * kernel[0]
        for row in rows {
          for column in columns { result.append(values[(start + row) * kernel[1] + column]) }
        }
      }
    }
    if groups == 1 { return .dense(result) }
    return groups == inputs && groups == outputs ? .depthwise(result) : .grouped(result, groups: groups)
  }
}

// MARK: - Resize

extension ONNXNode {
  /// Factors of height and width; `nil` if they are not whole or another axis changes.
  fileprivate var resizeFactors: [Int]? {
    guard let shape = shape(0), shape.count == 4 else { return nil }
    var factors: [Int] = []
    if let scales = constant(2)?.floats, !scales.isEmpty {
      guard scales.count == 4 else { return nil }
      factors = scales.map { Int(exactly: $0) ?? 0 }
    } else if let sizes = constant(3)?.integers, sizes.count == 4 {
      factors = zip(sizes, shape).map { Int($0) % $1 == 0 ? Int($0) / $1 : 0 }
    }
    guard factors.count == 4, factors[..<2] == [1, 1],
      factors[2...].allSatisfy({ (1...ImportLimits.enlargement).contains($0) })
    else { return nil }
    return Array(factors[2...])
  }

  fileprivate var resizeRequest: String {
    if let scales = constant(2)?.floats, !scales.isEmpty { return "a factor of \(scales.prefix(9))" }
    guard let sizes = constant(3)?.integers else { return "no factor" }
    return "a size of \(sizes.prefix(9)) for \(Shape.text(shape(0) ?? []))"
  }

  fileprivate var coordinates: String { string("coordinate_transformation_mode", default: "half_pixel") }
  fileprivate var rounding: String { string("nearest_mode", default: "round_prefer_floor") }

  /// That output position y takes input position y / factor, rounded down. Both sides repeat with the factor.
  fileprivate func repeats(factor: Int) -> Bool {
    (0..<factor).allSatisfy { position in
      let exact = Double(position) / Double(factor)
      let source: Double
      switch coordinates {
      case "asymmetric": source = exact
      case "half_pixel": source = (Double(position) + 0.5) / Double(factor) - 0.5
      // Differs from half_pixel only for outputs of one position, where nothing is enlarged.
      case "pytorch_half_pixel": source = (Double(position) + 0.5) / Double(factor) - 0.5
      default: return false
      }
      let nearest =
        switch rounding {
        case "floor": max(0, source.rounded(.down))
        case "ceil": source.rounded(.up)
        case "round_prefer_floor": (source - 0.5).rounded(.up)
        case "round_prefer_ceil": (source + 0.5).rounded(.down)
        default: Double.infinity
        }
      return nearest == 0
    }
  }
}
