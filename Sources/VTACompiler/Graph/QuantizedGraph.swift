package import VTAModule

/// The integer network: what quantization produces, `--dump-quantized` writes and code generation consumes.
///
/// Every device value is a signed integer tensor of the accelerator's INP width, of shape channels × height ×
/// width per sample, and stands for `scale · (integer − zeroPoint)`. All arithmetic is exact (32-bit wrap-around can't occur for legal graphs).
package struct QuantizedGraph: Sendable {
  package var name: String
  package var inputs: [ModelTensor]
  package var outputs: [ModelTensor]
  package var values: [QuantizedValue]
  /// In execution order.
  package var steps: [QuantizedStep]

  package init(
    name: String, inputs: [ModelTensor], outputs: [ModelTensor], values: [QuantizedValue],
    steps: [QuantizedStep]
  ) {
    self.name = name
    self.inputs = inputs
    self.outputs = outputs
    self.values = values
    self.steps = steps
  }
}

/// An activation on the accelerator.
package struct QuantizedValue: Sendable {
  /// The ONNX value's name; unique in the graph.
  package var name: String
  package var channels: Int
  package var height: Int
  package var width: Int
  package var scale: Float
  /// The integer that stands for 0: positions in a convolution's padding have it.
  package var zeroPoint: Int
  /// That it never leaves the accelerator's scratchpads, and so has no memory; see ``CodeGenerator``.
  package var isOnChip = false
  /// Its integers, where no step computes them: a tensor of the model's that a layer reads as it reads activations.
  package var constant: [Int8]?

  package init(
    name: String, channels: Int, height: Int, width: Int, scale: Float, zeroPoint: Int = 0
  ) {
    self.name = name
    self.channels = channels
    self.height = height
    self.width = width
    self.scale = scale
    self.zeroPoint = zeroPoint
  }
}

package struct QuantizedStep: Sendable {
  /// The ONNX node's name (made unique), and the ONNX operators it stands for, e.g. `Conv+Relu`.
  package var name: String
  package var op: String
  /// For the report: why it is where it is, or how it was mapped.
  package var why: String
  package var operation: QuantizedOperation

  package init(name: String, op: String, why: String, operation: QuantizedOperation) {
    self.name = name
    self.op = op
    self.why = why
    self.operation = operation
  }
}

package enum QuantizedOperation: Sendable {
  /// `output = clip(rint(input / scale(output)) + zero point, -2^(bits-1), 2^(bits-1) - 1)`; the host input has the batch axis
  /// first and otherwise the elements of C×H×W in this order.
  case quantize(input: HostTensorName, output: Int)
  case accumulate(Accumulate, output: Int)
  case maxPool(MaxPool, output: Int)
  case dequantize(input: Int, output: HostTensorName, shape: [Int])
  case softmax(input: HostTensorName, output: HostTensorName, axis: Int)
  case reshape(input: HostTensorName, output: HostTensorName, shape: [Int])
  case activate(input: HostTensorName, output: HostTensorName, function: HostFunction)
  case transpose(input: HostTensorName, output: HostTensorName, permutation: [Int])
  case concatenate(inputs: [HostTensorName], output: HostTensorName, axis: Int)
}

/// `acc[o, y, x] = bias[o] + Σ over terms`; `out = clip((acc >> shift[o]) + zero point, low, high)` with an arithmetic
/// shift. Terms multiply inputs without their zero points. With a ``leak`` negative sums are multiplied by a slope before
/// the shift. Terms that are late are added behind the shift, and a second one follows:
/// `out = clip(((acc >> shift[o]) + Σ over late terms + half) >> lateShift + zero point, low, high)`. That is how a residual
/// sum becomes part of a convolution, whose sums are much finer than its inputs.
///
/// Convolution, dense, pooling by averages, residual addition and stand-alone activation are all of this form: the
/// GEMM core is the universal mover (an identity or diagonal weight tile brings an int8 tensor to the accumulator).
/// Rounding (half up) is part of the bias: the quantizer adds `2^(shift - 1)`; with a leak or a multiplier it is added
/// behind that.
package struct Accumulate: Sendable {
  package var terms: [AccumulateTerm]
  /// One per output channel.
  package var bias: [Int32]
  /// One per output channel, 0…30; code generation splits what the profile cannot shift in one instruction.
  package var shift: [Int]
  /// A factor of the sums, between two shifts; `nil` where shifts alone requantize.
  package var multiplier: Multiplier?
  /// A slope as shifts: `t = acc`, for each amount `t = t >> amount`, and between them `t = t + acc`; then
  /// `acc = max(acc, t)`. Empty for none.
  package var leak: [Int]
  /// Halves go to the even integer, as in ONNX, instead of up; all shifts are at least 1 then, and there is neither leak nor
  /// multiplier.
  package var roundsToEven = false
  /// Of the sum that late terms are part of; rounds half up. 0 without late terms.
  package var lateShift = 0
  package var low: Int
  package var high: Int

  /// That rounding and the output's zero point are added just before the last shift, and not with the bias.
  package var roundsLate: Bool { !leak.isEmpty || multiplier != nil }

  package init(
    terms: [AccumulateTerm], bias: [Int32], shift: [Int], multiplier: Multiplier? = nil, leak: [Int] = [],
    low: Int,
    high: Int
  ) {
    self.terms = terms
    self.bias = bias
    self.shift = shift
    self.multiplier = multiplier
    self.leak = leak
    self.low = low
    self.high = high
  }
}

/// `acc = clip(acc >> preShift, −limit[o], limit[o]) · factor[o]`, before a leak and the last shift. No product leaves
/// 32 bits, and what the limits cut off would saturate the output anyway.
package struct Multiplier: Hashable, Sendable {
  package var preShift: Int
  /// One per output channel, both positive.
  package var limit: [Int32]
  package var factor: [Int32]

  package init(preShift: Int, limit: [Int32], factor: [Int32]) {
    self.preShift = preShift
    self.limit = limit
    self.factor = factor
  }
}

package struct AccumulateTerm: Sendable {
  package enum Weights: Sendable {
    /// `outputChannels × inputChannels × kernelHeight × kernelWidth`, row-major.
    case dense([Int8])
    /// The channels are cut into groups, and each sees only its own: `outputChannels × inputChannels / groups ×
    /// kernelHeight × kernelWidth`.
    case grouped([Int8], groups: Int)
    /// Output channel o sees only input channel o: `channels × kernelHeight × kernelWidth`.
    case depthwise([Int8])
    /// As depthwise, with one weight per output position for all channels and taps: `outputHeight × outputWidth`.
    case positional([Int8])
  }
  /// Index of a value of the graph.
  package var input: Int
  package var weights: Weights
  package var kernel: (height: Int, width: Int)
  package var stride: (height: Int, width: Int)
  /// Zeros around the input; negative where its edge is not read.
  package var padding: Padding
  package var places: Places
  /// Added behind the first shift. Depthwise of kernel 1 × 1 at every place, with one weight for all channels.
  package var isLate: Bool

  package init(
    input: Int, weights: Weights, kernel: (height: Int, width: Int),
    stride: (height: Int, width: Int), padding: Padding, places: Places = .all, isLate: Bool = false
  ) {
    self.input = input
    self.weights = weights
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.places = places
    self.isLate = isLate
  }
}

/// Output positions that a term adds to: every `stride`-th row and column from `first` on. With several terms of
/// different places an operation enlarges its input: nearest resize, transposed convolution.
package struct Places: Hashable, Sendable {
  package struct Axis: Hashable, Sendable {
    package var first: Int
    package var stride: Int

    package init(first: Int, stride: Int) {
      self.first = first
      self.stride = stride
    }

    /// Which of the places lie in a range of the output.
    package func indices(in outputs: Range<Int>) -> Range<Int> {
      let lower = max(0, outputs.lowerBound - first + stride - 1) / stride
      return lower..<max(lower, (outputs.upperBound - first + stride - 1) / stride)
    }
  }
  package var rows: Axis
  package var columns: Axis

  package init(rows: Axis, columns: Axis) {
    self.rows = rows
    self.columns = columns
  }

  package static let all = Places(rows: Axis(first: 0, stride: 1), columns: Axis(first: 0, stride: 1))
}

package struct Padding: Hashable, Sendable {
  package var top: Int
  package var left: Int
  package var bottom: Int
  package var right: Int

  package init(top: Int, left: Int, bottom: Int, right: Int) {
    self.top = top
    self.left = left
    self.bottom = bottom
    self.right = right
  }

  package static let none = Padding(top: 0, left: 0, bottom: 0, right: 0)
}

/// Maximum over the window; positions outside the input do not take part (ONNX's -∞ padding). Input and output have
/// the same scale.
package struct MaxPool: Sendable {
  package var input: Int
  package var kernel: (height: Int, width: Int)
  package var stride: (height: Int, width: Int)
  package var padding: Padding
  /// Clip of a fused activation; the full range if there is none.
  package var low: Int
  package var high: Int

  package init(
    input: Int, kernel: (height: Int, width: Int), stride: (height: Int, width: Int),
    padding: Padding, low: Int, high: Int
  ) {
    self.input = input
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
    self.low = low
    self.high = high
  }
}
