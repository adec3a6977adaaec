/// What Conv and the pooling operators share: attributes that describe a sliding window.
extension ONNXNode {
  /// Kernel extents from the attribute, or from the weights.
  var kernelShape: [Int]? {
    if let ints = ints("kernel_shape") { return ints }
    guard let weights = shape(1), weights.count > 2
    else { return nil }
    return Array(weights[2...])
  }

  /// The window over an N×C×H×W input; constraints have checked the attributes.
  ///
  /// - Returns: with `ceil_mode` the padding at the end is what makes the last window fit.
  func window(over shape: [Int]) throws(CompileError) -> (window: Window, height: Int, width: Int) {
    let kernel = kernelShape ?? [1, 1]
    let strides = ints("strides") ?? [1, 1]
    let pads = ints("pads") ?? [0, 0, 0, 0]
    let rows = Self.axis(
      input: shape[2], kernel: kernel[0], stride: strides[0], pads: (pads[0], pads[2]), node: self)
    let columns = Self.axis(
      input: shape[3], kernel: kernel[1], stride: strides[1], pads: (pads[1], pads[3]), node: self)
    let window = Window(
      kernel: .init(height: kernel[0], width: kernel[1]),
      stride: .init(height: strides[0], width: strides[1]),
      padding: Padding(top: rows.before, left: columns.before, bottom: rows.after, right: columns.after))
    guard rows.output > 0, columns.output > 0 else {
      throw error(
        "a kernel of \(kernel[0])×\(kernel[1]) does not fit into its padded input of \(shape[2])×\(shape[3])")
    }
    return (window, rows.output, columns.output)
  }

  /// One axis of ONNX's output shape rules: padding before and after, and the number of windows.
  private static func axis(
    input: Int, kernel: Int, stride: Int, pads: (Int, Int), node: ONNXNode
  ) -> (before: Int, after: Int, output: Int) {
    switch node.string("auto_pad", default: "NOTSET") {
    case "SAME_UPPER", "SAME_LOWER":
      let output = (input + stride - 1) / stride
      let total = max((output - 1) * stride + kernel - input, 0)
      let smaller = total / 2
      let isUpper = node.string("auto_pad", default: "") == "SAME_UPPER"
      return (isUpper ? smaller : total - smaller, isUpper ? total - smaller : smaller, output)
    case "VALID":
      return (0, 0, input < kernel ? 0 : (input - kernel) / stride + 1)
    default:
      let free = input + pads.0 + pads.1 - kernel
      guard free >= 0 else { return (0, 0, 0) }
      guard node.int("ceil_mode") == 1 else { return (pads.0, pads.1, free / stride + 1) }
      var output = (free + stride - 1) / stride + 1
      // A window may not start in the padding at the end.
      if (output - 1) * stride >= input + pads.0 { output -= 1 }
      let needed = (output - 1) * stride + kernel
      return (pads.0, max(needed - input - pads.0, pads.1), output)
    }
  }
}

extension OperatorConstraint {
  static let imageInput = OperatorConstraint("the input must be a batch of images (N×C×H×W)") { node in
    guard let shape = node.shape(0), shape.count != 4 else { return nil }
    return "the input is \(Shape.text(shape))"
  }

  static let kernel = OperatorConstraint(
    "the kernel must have height and width of 1…\(ImportLimits.windowExtent)"
  ) { node in
    let kernel = node.kernelShape ?? []
    return isPair(kernel, in: 1...ImportLimits.windowExtent) ? nil : "the kernel is \(kernel)"
  }

  static let strides = OperatorConstraint("both strides must lie in 1…\(ImportLimits.windowExtent)") { node in
    let strides = node.ints("strides") ?? [1, 1]
    return isPair(strides, in: 1...ImportLimits.windowExtent) ? nil : "the strides are \(strides)"
  }

  static let dilations = OperatorConstraint("both dilations must be 1") { node in
    let dilations = node.ints("dilations") ?? [1, 1]
    return isPair(dilations, in: 1...1) ? nil : "the dilations are \(dilations)"
  }

  static let pads = OperatorConstraint("the four pads must lie in 0…\(ImportLimits.windowExtent)") { node in
    let pads = node.ints("pads") ?? [0, 0, 0, 0]
    let isLegal = pads.count == 4 && pads.allSatisfy { (0...ImportLimits.windowExtent).contains($0) }
    return isLegal ? nil : "the pads are \(pads)"
  }

  /// Else a window would see nothing but padding.
  static let padsBelowKernel = OperatorConstraint("pads must be smaller than the kernel") { node in
    guard let kernel = node.kernelShape, kernel.count == 2 else { return nil }
    let pads = node.ints("pads") ?? [0, 0, 0, 0]
    let isLegal = pads.indices.allSatisfy { pads[$0] < kernel[$0 % 2] }
    return isLegal ? nil : "the pads are \(pads) around a kernel of \(kernel)"
  }

  static let autoPad = OperatorConstraint("auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID") {
    node in
    let value = node.string("auto_pad", default: "NOTSET")
    return ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"].contains(value)
      ? nil : "auto_pad is \(quoted(value))"
  }

  static let window: [OperatorConstraint] = [imageInput, kernel, strides, dilations, autoPad, pads]

  private static func isPair(_ values: [Int], in range: ClosedRange<Int>) -> Bool {
    values.count == 2 && values.allSatisfy(range.contains)
  }
}
