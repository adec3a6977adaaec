/// One ONNX operator: what it may look like, and how it becomes part of the graph. The table generates the errors
/// for what is not supported and `Documentation/SupportedOperators.md`.
struct OperatorRow: Sendable {
  struct Input: Sendable {
    enum Kind: String, Sendable {
      case activation = "computed from the model's inputs"
      case constant = "a constant"
      case any = "computed or constant"
    }
    let name: String
    let kind: Kind
    let isOptional: Bool

    static func activation(_ name: String) -> Input {
      Input(name: name, kind: .activation, isOptional: false)
    }
    static func constant(_ name: String) -> Input { Input(name: name, kind: .constant, isOptional: false) }
    static func any(_ name: String) -> Input { Input(name: name, kind: .any, isOptional: false) }
    static func optionalConstant(_ name: String) -> Input {
      Input(name: name, kind: .constant, isOptional: true)
    }
  }

  /// The ONNX name.
  let name: String
  /// For the documentation: what it becomes.
  let mapping: String
  let inputs: [Input]
  /// The last input may be there any number of times, at least once.
  var isVariadic = false
  let attributes: [String: ONNXAttributeProto.AttributeType]
  var constraints: [OperatorConstraint] = []
  /// Translates a node that satisfies all of the above.
  let build: @Sendable (ONNXNode, inout GraphBuilder) throws(CompileError) -> Void

  /// Of ONNX Runtime's own operators, which have a domain of their own.
  static let runtimeDomain = "com.microsoft"
  var isRuntimeOperator: Bool { Self.runtimeOperators.contains(name) }
  private static let runtimeOperators: Set = ["QGemm", "QLinearAdd", "QLinearGlobalAveragePool"]

  static let all: [OperatorRow] = [
    .add, .averagePool, .batchNormalization, .cast, .clip, .concat, .constantNode, .conv, .convTranspose,
    .div,
    .dropout,
    .dequantizeLinear, .elu, .exp, .flatten, .gather, .gemm, .globalAveragePool, .globalMaxPool, .hardSigmoid,
    .hardSwish, .identity,
    .leakyRelu, .matMul,
    .maxPool, .mul, .pad, .qGemm, .qLinearAdd, .qLinearConv, .qLinearGlobalAveragePool, .qLinearMatMul,
    .quantizeLinear, .reduceMean, .relu, .reshape, .resize, .shape, .sigmoid, .slice, .softmax, .softplus,
    .squeeze,
    .sub, .tanh,
    .transpose, .unsqueeze,
  ]

  static func named(_ name: String) -> OperatorRow? { all.first { $0.name == name } }

  /// Everything that the row says about a node, in the order in which a user would check it.
  func check(_ node: ONNXNode) throws(CompileError) {
    guard isVariadic || node.operands.count <= inputs.count else {
      throw node.error("it has \(node.operands.count) inputs, but \(name) has at most \(inputs.count)")
    }
    for index in 0..<max(inputs.count, node.operands.count) {
      let input = inputs[min(index, inputs.count - 1)]
      let isAllowed =
        switch node.operand(index) {
        case .absent: input.isOptional
        case .activation: input.kind != .constant
        case .constant: input.kind != .activation
        }
      guard isAllowed else {
        throw node.error(
          "input \(input.name) must be \(input.kind.rawValue)", remedy: CompileError.operatorList)
      }
    }
    for attributeName in node.attributeNames {
      guard let type = attributes[attributeName] else {
        throw node.error("attribute \(quoted(attributeName)) is not known", remedy: CompileError.operatorList)
      }
      // Writers before IR version 3 leave the type out.
      let found = node.attribute(attributeName)?.type ?? .undefined
      guard found == type || found == .undefined else {
        throw node.error("attribute \(quoted(attributeName)) must have type \(type), but has \(found)")
      }
    }
    guard node.outputs.first?.isEmpty == false else { throw node.error("it has no output") }
    guard node.outputs.dropFirst().allSatisfy(\.isEmpty) else {
      throw node.error("only its first output is supported", remedy: CompileError.operatorList)
    }
    for constraint in constraints {
      if let found = constraint.violation(node) {
        throw node.error(
          "\(found), but \(constraint.sentence)", remedy: CompileError.operatorList)
      }
    }
  }
}

/// A sentence about what an operator must look like, and the predicate that it states.
struct OperatorConstraint: Sendable {
  /// Without a capital letter and full stop: it follows "…, but" in an error.
  let sentence: String
  /// What was found instead; `nil` if the node satisfies the sentence.
  let violation: @Sendable (ONNXNode) -> String?

  init(_ sentence: String, _ violation: @escaping @Sendable (ONNXNode) -> String?) {
    self.sentence = sentence
    self.violation = violation
  }
}
