internal import VTAModule

/// The float network between import and quantization. Every operator of the accelerator is one of two operations:
/// a sum of weighted windows with bias and bounds, or a maximum over windows (see ``QuantizedGraph``).
struct Graph: Sendable {
  var name: String
  /// Values that the user passes in.
  var inputs: [Int]
  var outputs: [GraphOutput]
  var values: [GraphValue]
  /// In execution order.
  var nodes: [GraphNode]
}

struct GraphOutput: Hashable, Sendable {
  /// The name in the model; differs from the value's where an Identity stood between them.
  var name: String
  var value: Int
}

/// An activation.
struct GraphValue: Hashable, Sendable {
  var name: String
  /// Batch axis (extent 1) first.
  var shape: [Int]
  /// Given by a quantized model; `nil` where calibration finds it.
  var quantization: ValueQuantization?

  var elementCount: Int { shape.reduce(1, *) }
  var geometry: Geometry { Geometry(shape: shape) }
}

/// Scale and zero point of an activation, as integers that the accelerator holds.
struct ValueQuantization: Hashable, Sendable {
  var scale: Float
  var zeroPoint: Int
}

/// How an activation lies on the accelerator: its elements in row-major order as channels × height × width.
struct Geometry: Hashable, Sendable {
  var channels: Int
  var height: Int
  var width: Int

  /// N×C×H×W as it is; axis 1 of other ranks is the channel axis, and the rest is one row.
  init(shape: [Int]) {
    channels = shape.count > 1 ? shape[1] : 1
    height = shape.count == 4 ? shape[2] : 1
    width = shape.count == 4 ? shape[3] : shape.dropFirst(2).reduce(1, *)
  }

  var positions: Int { height * width }
  var elementCount: Int { channels * positions }
}

/// One operation and the ONNX operators it stands for, in their order.
struct GraphNode: Sendable {
  var name: String
  var operators: [String]
  var operation: Operation
  var output: Int

  /// One entry per use: a value that is added to itself appears twice.
  var inputs: [Int] {
    switch operation {
    case .linear(let layer): layer.terms.map(\.input)
    case .maxPool(let pool): [pool.input]
    case .reshape(let input), .softmax(let input, _): [input]
    case .host(_, let inputs): inputs
    case .constant: []
    }
  }
}

enum Operation: Sendable {
  case linear(LinearLayer)
  case maxPool(MaxPoolLayer)
  /// Same elements, the shape of the output.
  case reshape(input: Int)
  case softmax(input: Int, axis: Int)
  case host(HostOperation, [Int])
  /// These elements, whatever the inputs are.
  case constant([Float])
}

/// What the accelerator cannot do with its layout or its arithmetic.
enum HostOperation: Hashable, Sendable {
  case activate(HostFunction)
  /// The batch axis stays first.
  case transpose([Int])
  case concatenate(axis: Int)
}

/// `clip(leak(bias[o] + Σ over terms), bounds)`: convolution, dense, normalization, averages, addition, activation.
struct LinearLayer: Sendable {
  var terms: [LinearTerm]
  /// One per output channel.
  var bias: [Float]
  /// Factor of negative sums, from 0 to 1.
  var slope: Float = 1
  var bounds = Bounds.none

  /// Those whose weights depend on scales alone: the late ones, if there are any, or else all.
  var givenTerms: [LinearTerm] {
    let late = terms.filter(\.isLate)
    return late.isEmpty ? terms : late
  }

  /// That no weight and no bias is infinite or not a number.
  var isFinite: Bool { bias.allSatisfy(\.isFinite) && terms.allSatisfy(\.weights.isFinite) }
}

struct LinearTerm: Sendable {
  enum Weights: Sendable {
    /// `outputChannels × inputChannels × kernelHeight × kernelWidth`, row-major.
    case dense([Float])
    /// The channels are cut into groups, and each sees only its own: `outputChannels × inputChannels / groups ×
    /// kernelHeight × kernelWidth`.
    case grouped([Float], groups: Int)
    /// Output channel o sees only input channel o: `channels × kernelHeight × kernelWidth`.
    case depthwise([Float])
    /// As depthwise, with one weight for all channels and positions: identity and average.
    case uniform(Float)
    /// As uniform, with a weight per output position (`height × width`): averages of windows that the edges cut.
    case positional([Float])
    /// Output channel o is input channel `o − offset`; there is nothing where that does not exist.
    case selection(offset: Int)

    var isFinite: Bool {
      switch self {
      case .dense(let values), .grouped(let values, _), .depthwise(let values), .positional(let values):
        values.allSatisfy(\.isFinite)
      case .uniform(let value): value.isFinite
      case .selection: true
      }
    }
  }
  var input: Int
  var weights: Weights
  var window: Window
  var places = Places.all
  /// What one integer of a quantized model's weights stands for, per output channel; `nil` for float weights.
  var weightScales: [Float]?
  /// Added when the others' sum has been rounded to a fraction of the output's step; see ``Accumulate``.
  var isLate = false

  /// That output (y, x) sees input (y, x) and nothing else.
  var isPointwise: Bool { window == .point && places == .all }

  /// The input itself, times `weight`.
  static func scaled(_ input: Int, by weight: Float = 1) -> LinearTerm {
    LinearTerm(input: input, weights: .uniform(weight), window: .point)
  }
}

struct MaxPoolLayer: Sendable {
  var input: Int
  /// Positions in the padding do not take part.
  var window: Window
  var bounds = Bounds.none
}

/// Kernel, stride and zeros around the input of an operation that slides over height and width.
struct Window: Hashable, Sendable {
  struct Extent: Hashable, Sendable {
    var height: Int
    var width: Int
  }
  var kernel: Extent
  var stride: Extent
  var padding: Padding

  /// Positions of the kernel.
  var taps: Int { kernel.height * kernel.width }

  static let point = Window(
    kernel: Extent(height: 1, width: 1), stride: Extent(height: 1, width: 1), padding: .none)

  /// All of an input, N×C×H×W.
  static func whole(of shape: [Int]) -> Window {
    Window(kernel: Extent(height: shape[2], width: shape[3]), stride: point.stride, padding: .none)
  }
}

/// What an activation function clips to, in real numbers.
struct Bounds: Hashable, Sendable {
  var low: Float
  var high: Float

  static let none = Bounds(low: -.infinity, high: .infinity)
  static let relu = Bounds(low: 0, high: .infinity)

  func clip(_ value: Float) -> Float { Swift.min(Swift.max(value, low), high) }

  /// The bounds of clipping to `self` first and to `next` then.
  func followed(by next: Bounds) -> Bounds { Bounds(low: next.clip(low), high: next.clip(high)) }
}

extension Graph {
  /// For each value, the nodes that read it, one entry per use.
  func consumers() -> [[Int]] {
    var result = [[Int]](repeating: [], count: values.count)
    for (index, node) in nodes.enumerated() {
      for input in node.inputs { result[input].append(index) }
    }
    return result
  }

  /// For each value, the node that computes it; `nil` for inputs and unused values.
  func producers() -> [Int?] {
    var result = [Int?](repeating: nil, count: values.count)
    for (index, node) in nodes.enumerated() { result[node.output] = index }
    return result
  }

  /// That the model came with scales of its own.
  var isQuantized: Bool { values.contains { $0.quantization != nil } }

  /// That every value of the accelerator has a scale, or has that of the one it is made from.
  var needsNoCalibration: Bool { isQuantized && firstWithoutScale == nil }

  /// In a quantized model, the name of a value that has no scale and needs one.
  var firstWithoutScale: String? {
    if !isQuantized { return nil }
    for node in nodes {
      switch node.operation {
      case .linear, .maxPool:
        let missing = (node.inputs + [node.output]).first {
          values[$0].quantization == nil && !isPassedOn($0)
        }
        if let missing { return values[missing].name }
      case .reshape, .softmax, .host, .constant: continue
      }
    }
    return nil
  }

  private func isPassedOn(_ value: Int) -> Bool {
    guard let node = nodes.first(where: { $0.output == value }), let input = node.passedOn else {
      return false
    }
    return values[input].quantization != nil || isPassedOn(input)
  }

  /// Gives a value without a scale that of what it is passed on as: a quantized model may round behind a maximum, and the
  /// accelerator rounds before it, to the same integers.
  mutating func passQuantizationBack() {
    for node in nodes.reversed() {
      guard let input = node.passedOn, values[input].quantization == nil, !inputs.contains(input) else {
        continue
      }
      values[input].quantization = values[node.output].quantization
    }
  }

  func isOutput(_ value: Int) -> Bool { outputs.contains { $0.value == value } }
}
