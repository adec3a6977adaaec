private import FoundationEssentials
internal import VTAModule

/// The files of `--dump-quantized`, described in Documentation/QuantizedGraph.md.
package struct QuantizedGraphDump {
  /// By file name: `graph.json` and one `.npy` per array.
  package private(set) var files: [(name: String, bytes: [UInt8])] = []

  /// - Parameter activationBits: width of every value.
  package init(_ graph: QuantizedGraph, activationBits: Int) {
    var document = Document(graph, activationBits: activationBits)
    for (index, value) in graph.values.enumerated() {
      guard let elements = value.constant else { continue }
      let tensor = Tensor(elements, shape: [value.channels, value.height, value.width])
      document.values[index].constant = add(tensor, "\(Self.stem(index, value.name)).constant.npy")
    }
    let limit = (1 << (activationBits - 1)) - 1
    for (index, step) in graph.steps.enumerated() {
      var entry = StepEntry(name: step.name, op: step.op, why: step.why)
      describe(step.operation, number: index, graph, limit, in: &entry)
      document.steps.append(entry)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Every number of the document is finite, so that encoding cannot fail.
    let json = (try? encoder.encode(document)).map { [UInt8]($0) } ?? []
    files.insert((name: "graph.json", bytes: json), at: 0)
  }

  private mutating func describe(
    _ operation: QuantizedOperation, number: Int, _ graph: QuantizedGraph, _ limit: Int,
    in entry: inout StepEntry
  ) {
    switch operation {
    case .quantize(let input, let output):
      entry.operation = "quantize"
      (entry.input, entry.output) = (input, graph.values[output].name)
      (entry.low, entry.high) = (-limit - 1, limit)
    case .accumulate(let sum, let output):
      entry.operation = "accumulate"
      entry.output = graph.values[output].name
      let stem = Self.stem(number, entry.name)
      entry.terms = sum.terms.enumerated().map { index, term in
        self.term(term, file: "\(stem).weights\(index).npy", graph, output: graph.values[output])
      }
      entry.bias = add(Tensor(sum.bias, shape: [sum.bias.count]), "\(stem).bias.npy")
      entry.shift = add(Tensor(sum.shift.map { Int32($0) }, shape: [sum.shift.count]), "\(stem).shift.npy")
      if let multiplier = sum.multiplier {
        entry.preShift = multiplier.preShift
        entry.limit = add(Tensor(multiplier.limit, shape: [multiplier.limit.count]), "\(stem).limit.npy")
        entry.factor = add(Tensor(multiplier.factor, shape: [multiplier.factor.count]), "\(stem).factor.npy")
      }
      entry.leak = sum.leak.isEmpty ? nil : sum.leak
      entry.roundsToEven = sum.roundsToEven ? true : nil
      entry.lateShift = sum.terms.contains(where: \.isLate) ? sum.lateShift : nil
      (entry.low, entry.high) = (sum.low, sum.high)
    case .maxPool(let pool, let output):
      entry.operation = "max_pool"
      (entry.input, entry.output) = (graph.values[pool.input].name, graph.values[output].name)
      entry.kernel = [pool.kernel.height, pool.kernel.width]
      entry.stride = [pool.stride.height, pool.stride.width]
      entry.padding = pool.padding.list
      (entry.low, entry.high) = (pool.low, pool.high)
    case .dequantize(let input, let output, let shape):
      entry.operation = "dequantize"
      (entry.input, entry.output, entry.shape) = (graph.values[input].name, output, shape)
    case .softmax(let input, let output, let axis):
      entry.operation = "softmax"
      (entry.input, entry.output, entry.axis) = (input, output, axis)
    case .reshape(let input, let output, let shape):
      entry.operation = "reshape"
      (entry.input, entry.output, entry.shape) = (input, output, shape)
    case .activate(let input, let output, let function):
      entry.operation = "activate"
      (entry.input, entry.output, entry.function) = (input, output, function.kind.rawValue)
      (entry.alpha, entry.beta) = (Double(function.alpha), Double(function.beta))
    case .transpose(let input, let output, let permutation):
      entry.operation = "transpose"
      (entry.input, entry.output, entry.permutation) = (input, output, permutation)
    case .concatenate(let inputs, let output, let axis):
      entry.operation = "concatenate"
      (entry.inputs, entry.output, entry.axis) = (inputs, output, axis)
    }
  }

  private mutating func term(
    _ term: AccumulateTerm, file: String, _ graph: QuantizedGraph, output: QuantizedValue
  ) -> TermEntry {
    let window = [term.kernel.height, term.kernel.width]
    let (kind, tensor) =
      switch term.weights {
      case .dense(let weights):
        ("dense", Tensor(weights, shape: [output.channels, graph.values[term.input].channels] + window))
      case .grouped(let weights, let groups):
        (
          "grouped",
          Tensor(weights, shape: [output.channels, graph.values[term.input].channels / groups] + window)
        )
      case .depthwise(let weights): ("depthwise", Tensor(weights, shape: [output.channels] + window))
      case .positional(let weights): ("positional", Tensor(weights, shape: [output.height, output.width]))
      }
    var groups: Int?
    if case .grouped(_, let count) = term.weights { groups = count }
    return TermEntry(
      input: graph.values[term.input].name, kind: kind, groups: groups, weights: add(tensor, file),
      kernel: window,
      stride: [term.stride.height, term.stride.width], padding: term.padding.list,
      places: term.places == .all ? nil : PlacesEntry(term.places), isLate: term.isLate ? true : nil)
  }

  private mutating func add(_ tensor: Tensor, _ name: String) -> String {
    files.append((name: name, bytes: NPY.encode(tensor)))
    return name
  }

  /// Different for each step, readable, and safe as a file name.
  private static func stem(_ number: Int, _ name: String) -> String {
    let safe = name.utf8.prefix(80).map { byte in
      let isSafe =
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      return isSafe ? Character(UnicodeScalar(byte)) : "_"
    }
    return "\(number)-\(String(safe))"
  }
}

extension Padding {
  fileprivate var list: [Int] { [top, left, bottom, right] }
}

// MARK: - graph.json

private struct Document: Encodable {
  struct TensorEntry: Encodable {
    var name: String
    var datatype: String
    var shape: [Int]
  }
  struct ValueEntry: Encodable {
    var name: String
    var channels: Int
    var height: Int
    var width: Int
    /// As a double, whose decimal digits give the float back exactly.
    var scale: Double
    var zeroPoint: Int
    var bits: Int
    var isOnChip: Bool?
    var constant: String?

    enum CodingKeys: String, CodingKey {
      case name, channels, height, width, scale, bits, constant
      case zeroPoint = "zero_point"
      case isOnChip = "on_chip"
    }
  }
  var format = "vta-quantized-graph"
  var version = 1
  var name: String
  var inputs: [TensorEntry]
  var outputs: [TensorEntry]
  var values: [ValueEntry]
  var steps: [StepEntry] = []

  init(_ graph: QuantizedGraph, activationBits: Int) {
    func entry(_ tensor: ModelTensor) -> TensorEntry {
      TensorEntry(name: tensor.name, datatype: tensor.dataType.rawValue, shape: tensor.shape)
    }
    name = graph.name
    inputs = graph.inputs.map(entry)
    outputs = graph.outputs.map(entry)
    values = graph.values.map { value in
      ValueEntry(
        name: value.name, channels: value.channels, height: value.height, width: value.width,
        scale: Double(value.scale), zeroPoint: value.zeroPoint, bits: activationBits,
        isOnChip: value.isOnChip ? true : nil)
    }
  }
}

/// Absent fields are left out of the file.
private struct StepEntry: Encodable {
  var name: String
  var op: String
  var why: String
  var operation = ""
  var input: String?
  var inputs: [String]?
  var output: String?
  var terms: [TermEntry]?
  var bias: String?
  var shift: String?
  var preShift: Int?
  var limit: String?
  var factor: String?
  var leak: [Int]?
  var roundsToEven: Bool?
  var lateShift: Int?
  var kernel: [Int]?
  var stride: [Int]?
  var padding: [Int]?
  var low: Int?
  var high: Int?
  var shape: [Int]?
  var axis: Int?
  var permutation: [Int]?
  var function: String?
  var alpha: Double?
  var beta: Double?

  enum CodingKeys: String, CodingKey {
    case name, op, why, operation, input, inputs, output, terms, bias, shift, limit, factor, leak, kernel,
      stride,
      padding, low, high, shape, axis, permutation, function, alpha, beta
    case preShift = "pre_shift"
    case roundsToEven = "rounds_to_even"
    case lateShift = "late_shift"
  }
}

private struct TermEntry: Encodable {
  var input: String
  var kind: String
  var groups: Int?
  var weights: String
  var kernel: [Int]
  var stride: [Int]
  var padding: [Int]
  var places: PlacesEntry?
  var isLate: Bool?

  enum CodingKeys: String, CodingKey {
    case input, kind, groups, weights, kernel, stride, padding, places
    case isLate = "late"
  }
}

private struct PlacesEntry: Encodable {
  var first: [Int]
  var stride: [Int]

  init(_ places: Places) {
    first = [places.rows.first, places.columns.first]
    stride = [places.rows.stride, places.columns.stride]
  }
}
