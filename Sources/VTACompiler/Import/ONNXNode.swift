/// One node of the ONNX graph with its operands looked up: what constraints judge and importers translate.
struct ONNXNode: Sendable {
  enum Operand: Sendable {
    case absent
    case activation(Int, shape: [Int])
    case constant(ConstantTensor)
  }
  /// The node's own name, or one made from its operator and output.
  let name: String
  let operatorName: String
  let opset: Int
  /// As many as the file lists; absent optional ones in the middle are `.absent`.
  let operands: [Operand]
  /// Names; empty for an optional output that nobody reads.
  let outputs: [String]
  private let attributes: [String: ONNXAttributeProto]

  /// - Parameter read: names that a node or the model's outputs read.
  init(
    name: String, proto: ONNXNodeProto, opset: Int, operands: [Operand], read: Set<String>
  ) throws(CompileError) {
    self.name = name
    operatorName = proto.opType
    self.opset = opset
    self.operands = operands
    outputs = proto.output.enumerated().map { $0 == 0 || read.contains($1) ? $1 : "" }
    var attributes: [String: ONNXAttributeProto] = [:]
    for attribute in proto.attribute {
      guard attributes.updateValue(attribute, forKey: attribute.name) == nil else {
        throw CompileError(
          Self.subject(proto.opType, name), "attribute \(quoted(attribute.name)) appears twice")
      }
    }
    self.attributes = attributes
  }

  /// The node as another operator with other operands, and those of its attributes that the other one has too.
  func replacing(_ row: OperatorRow, _ operands: [Operand]) -> ONNXNode {
    ONNXNode(self, row, operands)
  }

  private init(_ node: ONNXNode, _ row: OperatorRow, _ operands: [Operand]) {
    name = node.name
    operatorName = row.name
    opset = node.opset
    self.operands = operands
    outputs = node.outputs
    attributes = node.attributes.filter { row.attributes[$0.key] != nil }
  }

  static func subject(_ operatorName: String, _ name: String) -> String {
    "\(operatorName.isEmpty ? "node" : printable(operatorName)) \(quoted(name))"
  }
  private static func printable(_ text: String) -> String { String(quoted(text).dropFirst().dropLast()) }

  var subject: String { Self.subject(operatorName, name) }

  func error(_ reason: String, remedy: String? = nil) -> CompileError {
    CompileError(subject, reason, remedy: remedy)
  }

  // MARK: Operands

  func operand(_ index: Int) -> Operand { index < operands.count ? operands[index] : .absent }

  func constant(_ index: Int) -> ConstantTensor? {
    guard case .constant(let tensor) = operand(index) else { return nil }
    return tensor
  }

  /// Shape of an activation or constant; `nil` if absent.
  func shape(_ index: Int) -> [Int]? {
    switch operand(index) {
    case .absent: nil
    case .activation(_, let shape): shape
    case .constant(let tensor): tensor.shape
    }
  }

  /// - Throws: if the operand is no activation; the operator's table row normally says so before.
  func activation(_ index: Int) throws(CompileError) -> (value: Int, shape: [Int]) {
    guard case .activation(let value, let shape) = operand(index) else {
      throw error("input \(index) must be computed from the model's inputs")
    }
    return (value, shape)
  }

  func floats(_ index: Int) throws(CompileError) -> [Float] {
    guard let values = constant(index)?.floats else { throw error("input \(index) must be a float constant") }
    return values
  }

  // MARK: Attributes, whose types the operator's table row has checked

  var attributeNames: [String] { attributes.keys.sorted() }
  func attribute(_ name: String) -> ONNXAttributeProto? { attributes[name] }

  func int(_ name: String, default value: Int = 0) -> Int {
    attributes[name].map { Self.clamped($0.i) } ?? value
  }
  func ints(_ name: String) -> [Int]? { attributes[name]?.ints.map(Self.clamped) }
  func float(_ name: String, default value: Float) -> Float { attributes[name]?.f ?? value }
  func string(_ name: String, default value: String) -> String {
    attributes[name].map { String(decoding: $0.s, as: UTF8.self) } ?? value
  }

  /// Small enough that sums and products of a few cannot overflow; values this large are refused anyway.
  private static func clamped(_ value: Int64) -> Int { Int(min(max(value, -(1 << 30)), 1 << 30)) }
}
