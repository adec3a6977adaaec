internal import SwiftProtobuf
internal import SystemPackage

/// Reads an ONNX file into a ``Graph``: float tensors with names and shapes, one operation per supported node.
struct ONNXImporter {
  /// Shapes that the user gives for inputs, by name.
  let shapes: [String: [Int]]
  private let external: ExternalData
  private let proto: ONNXGraphProto
  private let opset: Int
  private var builder: GraphBuilder
  private var initializers: [String: Int] = [:]
  /// Node that computes a value, by the value's name.
  private var producers: [String: Int] = [:]
  /// What a node or the model's outputs read.
  private var readNames: Set<String> = []

  /// - Parameter folder: where external data may be; `nil` if the model is not a file.
  static func graph(
    _ bytes: [UInt8], name: String, folder: FilePath?, shapes: [String: [Int]]
  ) throws(CompileError) -> Graph {
    var importer = try ONNXImporter(bytes, name: name, folder: folder, shapes: shapes)
    try importer.collectNames()
    try importer.importInputs()
    for index in try importer.executionOrder() { try importer.importNode(index) }
    try importer.importOutputs()
    return importer.builder.graph
  }

  private init(
    _ bytes: [UInt8], name: String, folder: FilePath?, shapes: [String: [Int]]
  ) throws(CompileError) {
    let model = try Self.decode(bytes)
    guard model.hasGraph else {
      throw CompileError("model", "the file holds no ONNX graph", remedy: "check that it is an .onnx file")
    }
    guard let version = model.opsetImport.first(where: { Self.isDefault($0.domain) })?.version else {
      throw CompileError("model", "the file does not say which ONNX operator set it uses")
    }
    guard let opset = Int(exactly: version), ImportLimits.opsets.contains(opset) else {
      throw CompileError(
        "model",
        "it uses ONNX operator set \(version), but \(ImportLimits.opsets.lowerBound)…"
          + "\(ImportLimits.opsets.upperBound) are supported", remedy: "export it for one of these")
    }
    guard model.graph.node.count <= ImportLimits.nodes else {
      throw CompileError(
        "model", "it has \(model.graph.node.count) nodes, but at most \(ImportLimits.nodes) are supported")
    }
    self.opset = opset
    self.shapes = shapes
    proto = model.graph
    external = ExternalData(folder: folder)
    builder = GraphBuilder(name: name)
  }

  private static func decode(_ bytes: [UInt8]) throws(CompileError) -> ONNXModelProto {
    guard bytes.count <= ImportLimits.fileBytes else {
      throw CompileError(
        "model", "the file has \(bytes.count) bytes, but ONNX files have at most \(ImportLimits.fileBytes)",
        remedy: "keep the weights as external data")
    }
    var options = BinaryDecodingOptions()
    options.discardUnknownFields = true
    options.messageDepthLimit = ImportLimits.messageDepth
    do {
      return try ONNXModelProto(serializedBytes: bytes, options: options)
    } catch {
      throw CompileError(
        "model", "the file is no ONNX model, or it is damaged: \(reason(error))",
        remedy: "check that it is a complete .onnx file")
    }
  }

  private static func reason(_ error: any Error) -> String {
    switch error as? BinaryDecodingError {
    case .truncated: "it ends too early"
    case .invalidUTF8: "a name is not UTF-8"
    case .messageDepthLimit: "messages are nested too deep"
    default: "it is not a protobuf message"
    }
  }

  private static func isDefault(_ domain: String) -> Bool { domain.isEmpty || domain == "ai.onnx" }

  // MARK: Names

  /// Everything that has a name is defined once, and what initializers declare is there.
  private mutating func collectNames() throws(CompileError) {
    for (index, tensor) in proto.initializer.enumerated() {
      let subject = "initializer \(quoted(tensor.name))"
      guard initializers.updateValue(index, forKey: tensor.name) == nil else {
        throw CompileError(subject, "the name is defined twice")
      }
      _ = try tensor.checkedShape(subject, external: external)
    }
    var inputs: Set<String> = []
    for input in proto.input {
      guard inputs.insert(input.name).inserted, !input.name.isEmpty else {
        throw CompileError("input \(quoted(input.name))", "the name is empty or defined twice")
      }
    }
    readNames = Set(proto.output.map(\.name)).union(proto.node.flatMap(\.input))
    for (index, node) in proto.node.enumerated() {
      for name in node.output where !name.isEmpty {
        let isNew = producers.updateValue(index, forKey: name) == nil
        guard isNew, initializers[name] == nil, !inputs.contains(name) else {
          throw CompileError(displayName(index), "its output \(quoted(name)) is defined twice")
        }
      }
    }
  }

  private func displayName(_ index: Int) -> String {
    ONNXNode.subject(proto.node[index].opType, nodeName(index))
  }

  private func nodeName(_ index: Int) -> String {
    let node = proto.node[index]
    return node.name.isEmpty ? "\(node.opType)_\(node.output.first ?? "")" : node.name
  }

  // MARK: Inputs and outputs

  private mutating func importInputs() throws(CompileError) {
    var unused = Set(shapes.keys)
    for input in proto.input where initializers[input.name] == nil {
      unused.remove(input.name)
      try builder.addInput(input.name, shape: try InputShape.resolve(input, given: shapes[input.name]))
    }
    if let name = unused.min() {
      let names = builder.graph.inputs.map { quoted(builder.graph.values[$0].name) }
      throw CompileError(
        "--shape \(name)", "the model has no such input",
        remedy: "its inputs are \(names.joined(separator: ", "))")
    }
    guard !builder.graph.inputs.isEmpty else { throw CompileError("model", "it has no inputs") }
  }

  private mutating func importOutputs() throws(CompileError) {
    guard !proto.output.isEmpty else { throw CompileError("model", "it has no outputs") }
    var names: Set<String> = []
    for output in proto.output {
      let subject = "output \(quoted(output.name))"
      guard names.insert(output.name).inserted else { throw CompileError(subject, "it is listed twice") }
      guard case .activation(let value, _) = builder.operand(output.name) else {
        throw CompileError(subject, "it is a constant", remedy: "remove it from the model")
      }
      guard !builder.graph.inputs.contains(value) else {
        throw CompileError(subject, "it is one of the inputs, unchanged", remedy: "remove it from the model")
      }
      builder.addOutput(output.name, value: value)
    }
  }

  // MARK: Nodes

  /// The nodes that the outputs need, each after the nodes it reads; the file's own order where that leaves a choice.
  private func executionOrder() throws(CompileError) -> [Int] {
    enum Mark { case new, open, done }
    var marks = [Mark](repeating: .new, count: proto.node.count)
    var order: [Int] = []
    let known = Set(initializers.keys).union(proto.input.map(\.name))
    for output in proto.output where producers[output.name] == nil && !known.contains(output.name) {
      throw CompileError("output \(quoted(output.name))", "nothing in the graph computes it")
    }
    for root in proto.output.compactMap({ producers[$0.name] }).sorted() {
      var stack = [root]
      while let index = stack.last {
        if marks[index] == .done {
          stack.removeLast()
          continue
        }
        // Second visit: everything below is done.
        if marks[index] == .open {
          marks[index] = .done
          order.append(index)
          stack.removeLast()
          continue
        }
        marks[index] = .open
        for name in proto.node[index].input.reversed() where !name.isEmpty {
          guard let producer = producers[name] else {
            if known.contains(name) { continue }
            throw CompileError(
              displayName(index), "it reads \(quoted(name)), which nothing in the graph defines")
          }
          guard marks[producer] != .open else {
            throw CompileError(
              displayName(index), "its input \(quoted(name)) depends on its own output: the graph has a cycle"
            )
          }
          if marks[producer] == .new { stack.append(producer) }
        }
      }
    }
    return order
  }

  private mutating func importNode(_ index: Int) throws(CompileError) {
    let node = proto.node[index]
    let subject = displayName(index)
    guard let row = OperatorRow.named(node.opType),
      row.isRuntimeOperator ? node.domain == OperatorRow.runtimeDomain : Self.isDefault(node.domain)
    else {
      let domain = Self.isDefault(node.domain) ? "" : " of domain \(quoted(node.domain))"
      throw CompileError(
        subject, "the operator \(quoted(node.opType))\(domain) is not supported",
        remedy: CompileError.operatorList)
    }
    var operands: [ONNXNode.Operand] = []
    for name in node.input { operands.append(try operand(name)) }
    let view = try ONNXNode(
      name: nodeName(index), proto: node, opset: opset, operands: operands, read: readNames)
    try row.check(view)
    try row.build(view, &builder)
  }

  private mutating func operand(_ name: String) throws(CompileError) -> ONNXNode.Operand {
    if name.isEmpty { return .absent }
    if let known = builder.operand(name) { return known }
    guard let index = initializers[name] else {
      throw CompileError("value \(quoted(name))", "it is used before it is computed")
    }
    let tensor = try proto.initializer[index].decoded("initializer \(quoted(name))", external: external)
    return .constant(tensor)
  }
}

/// The shape of an input from what the model declares and what the user gives.
enum InputShape {
  /// A symbolic first axis is the batch and becomes 1; other symbolic axes need `--shape`.
  static func resolve(_ input: ONNXValueInfoProto, given: [Int]?) throws(CompileError) -> [Int] {
    let subject = "input \(quoted(input.name))"
    guard input.hasType, case let tensor = input.type.tensorType, tensor.elemType == TensorElementType.float
    else {
      throw CompileError(
        subject,
        "it has element type \(TensorElementType.name(input.type.tensorType.elemType)), but must be FLOAT",
        remedy: "export the model in float32")
    }
    let declared = tensor.shape.dim
    guard declared.count <= ImportLimits.rank else {
      throw CompileError(
        subject, "it has \(declared.count) axes, but at most \(ImportLimits.rank) are supported")
    }
    let shape: [Int]
    if let given {
      shape = given
    } else {
      shape = try fromDeclaration(declared, name: input.name, subject: subject)
    }
    let fits = shape.count == declared.count || declared.isEmpty
    let contradicts = zip(shape, declared).contains { $1.dimValue > 0 && $1.dimValue != Int64($0) }
    guard fits, !contradicts || given == nil else {
      throw CompileError(
        "--shape \(input.name)", "\(Shape.text(shape)) contradicts the model's \(text(declared))")
    }
    guard shape.count >= 2, shape.allSatisfy({ $0 > 0 }) else {
      throw CompileError(
        subject,
        "its shape is \(text(declared)), but it must have a batch axis and at least one more, none empty",
        remedy: remedy(input.name, declared))
    }
    guard shape[0] == 1 else {
      throw CompileError(
        subject, "its batch axis is fixed at \(shape[0]), but must be symbolic or 1",
        remedy: "export the model with a dynamic batch axis")
    }
    return shape
  }

  private static func fromDeclaration(
    _ dimensions: [ONNXTensorShapeProto.Dimension], name: String, subject: String
  ) throws(CompileError) -> [Int] {
    var shape: [Int] = []
    var symbolic: [String] = []
    for (axis, dimension) in dimensions.enumerated() {
      if case .dimValue(let extent) = dimension.value {
        shape.append(Int(clamping: extent))
      } else {
        shape.append(1)
        if axis > 0 {
          symbolic.append(dimension.dimParam.isEmpty ? "axis \(axis)" : quoted(dimension.dimParam))
        }
      }
    }
    guard symbolic.isEmpty else {
      throw CompileError(
        subject, "its shape \(text(dimensions)) leaves \(symbolic.joined(separator: ", ")) open",
        remedy: remedy(name, dimensions))
    }
    return shape
  }

  private static func remedy(_ name: String, _ dimensions: [ONNXTensorShapeProto.Dimension]) -> String {
    let example = dimensions.enumerated().map { axis, dimension in
      dimension.dimValue > 0 ? "\(dimension.dimValue)" : axis == 0 ? "1" : axis == 1 ? "3" : "224"
    }
    return "give it with --shape \(name)=\(example.joined(separator: ","))"
  }

  private static func text(_ dimensions: [ONNXTensorShapeProto.Dimension]) -> String {
    let parts = dimensions.map { dimension in
      guard case .dimValue(let extent) = dimension.value else {
        return dimension.dimParam.isEmpty ? "?" : String(quoted(dimension.dimParam).dropFirst().dropLast())
      }
      return String(extent)
    }
    return "[\(parts.joined(separator: ", "))]"
  }
}
