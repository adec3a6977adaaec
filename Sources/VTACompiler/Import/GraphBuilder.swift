/// The graph while it is imported: names of the ONNX file to values of ours.
struct GraphBuilder {
  private(set) var graph: Graph
  private var environment: [String: ONNXNode.Operand] = [:]
  private var nodeNames: Set<String> = []

  init(name: String) {
    graph = Graph(name: name, inputs: [], outputs: [], values: [], nodes: [])
  }

  func operand(_ name: String) -> ONNXNode.Operand? { environment[name] }

  mutating func addInput(_ name: String, shape: [Int]) throws(CompileError) {
    graph.inputs.append(try addValue(name, shape: shape, subject: "input \(quoted(name))"))
  }

  mutating func addOutput(_ name: String, value: Int) {
    graph.outputs.append(GraphOutput(name: name, value: value))
  }

  mutating func define(_ name: String, _ operand: ONNXNode.Operand) { environment[name] = operand }

  /// The value with these integers: itself, if it has them or none yet, or a copy that is requantized.
  mutating func quantize(
    _ value: Int, shape: [Int], _ quantization: ValueQuantization, for node: ONNXNode
  ) throws(CompileError) {
    switch graph.values[value].quantization {
    case nil:
      graph.values[value].quantization = quantization
      define(node.outputs[0], .activation(value, shape: shape))
    case quantization: define(node.outputs[0], .activation(value, shape: shape))
    default:
      let bias = [Float](repeating: 0, count: Geometry(shape: shape).channels)
      try add(.linear(LinearLayer(terms: [.scaled(value)], bias: bias)), shape: shape, for: node)
      graph.values[graph.values.count - 1].quantization = quantization
    }
  }

  /// Adds an operation whose result has given integers.
  mutating func add(
    _ operation: Operation, shape: [Int], _ quantization: ValueQuantization, for node: ONNXNode
  ) throws(CompileError) {
    try add(operation, shape: shape, for: node)
    graph.values[graph.values.count - 1].quantization = quantization
  }

  /// Adds an operation that computes the node's output.
  mutating func add(_ operation: Operation, shape: [Int], for node: ONNXNode) throws(CompileError) {
    if case .linear(let layer) = operation, !layer.isFinite {
      throw node.error(
        "a weight or bias is infinite or not a number", remedy: "train or export the model again")
    }
    let output = try addValue(node.outputs[0], shape: shape, subject: node.subject)
    append(operation, output: output, for: node)
  }

  /// Adds an operation whose result only `node`'s further operations read.
  mutating func addIntermediate(
    _ operation: Operation, shape: [Int], suffix: String, for node: ONNXNode
  ) throws(CompileError) -> Int {
    let name = node.outputs[0] + suffix
    let output = try addValue(name, shape: shape, subject: node.subject, isNamed: false)
    append(operation, output: output, for: node)
    return output
  }

  /// Adds a tensor of the model's that a node reads as it reads activations.
  mutating func addConstant(
    _ elements: [Float], shape: [Int], quantization: ValueQuantization?, for node: ONNXNode
  ) throws(CompileError) -> Int {
    guard elements.allSatisfy(\.isFinite) else {
      throw node.error(
        "a constant is infinite or not a number", remedy: "train or export the model again")
    }
    let output = try addValue(
      node.outputs[0] + "/constant", shape: shape, subject: node.subject, isNamed: false)
    graph.values[output].quantization = quantization
    graph.nodes.append(
      GraphNode(
        name: node.name + "/constant", operators: ["Constant"], operation: .constant(elements), output: output
      ))
    return output
  }

  private mutating func append(_ operation: Operation, output: Int, for node: ONNXNode) {
    var name = node.name
    var number = 2
    while !nodeNames.insert(name).inserted {
      name = "\(node.name)_\(number)"
      number += 1
    }
    graph.nodes.append(
      GraphNode(name: name, operators: [node.operatorName], operation: operation, output: output))
  }

  private mutating func addValue(
    _ name: String, shape: [Int], subject: String, isNamed: Bool = true
  ) throws(CompileError) -> Int {
    var count = 1
    for extent in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: extent)
      guard extent > 0, !overflow, product <= ImportLimits.activationElements else {
        throw CompileError(
          subject,
          "a tensor of \(Shape.text(shape)) elements must have 1 to "
            + "\(ImportLimits.activationElements) per sample")
      }
      count = product
    }
    let value = graph.values.count
    graph.values.append(GraphValue(name: name, shape: shape))
    if isNamed { environment[name] = .activation(value, shape: shape) }
    return value
  }
}

enum Shape {
  /// `1×3×224×224`
  static func text(_ shape: [Int]) -> String {
    shape.isEmpty ? "scalar" : shape.map(String.init).joined(separator: "×")
  }
}
