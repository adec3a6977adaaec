internal import VTAModule
internal import VTARuntime

/// From the tensors of a request to those of the runtime. Names, types and shapes are compared with the model before any
/// element is looked at, so that no size of a request is trusted.
enum InferenceInputs {
  typealias Input = Inference_ModelInferRequest.InferInputTensor

  /// Takes the request's raw contents.
  /// - Throws: ``ServiceError`` or ``RuntimeError``.
  static func tensors(
    of request: InferenceRequest, for module: Module, regions: SharedRegions, caller: Caller
  ) throws -> [String: Tensor] {
    let inputs = request.message.inputs
    let raw = request.rawContents.take() ?? []
    let types = try declared(inputs, for: module)
    let windows = try inputs.map { input in
      let what = "the input \(input.name)"
      return try TensorWindow(
        RequestParameters(input.parameters, of: what), of: what, regions: regions, caller: caller)
    }
    // Tensors in shared memory have no place among the raw contents.
    let inMessage = windows.count { $0 == nil }
    guard raw.isEmpty || raw.count == inMessage else {
      throw ServiceError(
        .invalidArgument,
        "the request has \(raw.count) raw contents for \(inMessage) inputs; send one for each")
    }
    var tensors: [String: Tensor] = [:]
    var next = raw.startIndex
    for (index, (input, type)) in zip(inputs, types).enumerated() {
      if let window = windows[index] {
        tensors[input.name] = try shared(window, of: input, type)
      } else if raw.isEmpty {
        tensors[input.name] = try typed(input, type)
      } else {
        tensors[input.name] = try self.raw(raw[next], of: input, type)
        next += 1
      }
    }
    return tensors
  }

  /// Types and shapes in the order of the request; all of them fit the model.
  private static func declared(_ inputs: [Input], for module: Module) throws -> [ModelTensor] {
    let types = try inputs.map { input in
      ModelTensor(name: input.name, dataType: try dataType(of: input), shape: try shape(of: input))
    }
    var byName: [String: ModelTensor] = [:]
    for type in types where byName.updateValue(type, forKey: type.name) != nil {
      throw ServiceError(.invalidArgument, "the input \(type.name) is in the request twice; send it once")
    }
    try InputCheck.sampleCount(of: byName, for: module)
    return types
  }

  private static func shared(
    _ window: TensorWindow, of input: Input, _ type: ModelTensor
  ) throws(ServiceError) -> Tensor {
    guard !input.hasContents || input.contents == .init() else {
      throw ServiceError(
        .invalidArgument, "the input \(input.name) is in shared memory and has contents; send either one")
    }
    try checkCount(window.byteCount, of: input, type)
    return Tensor(
      dataType: type.dataType, shape: type.shape,
      bytes: try window.region.read(at: window.offset, count: window.byteCount))
  }

  private static func checkCount(_ count: Int, of input: Input, _ type: ModelTensor) throws(ServiceError) {
    let expected = Tensor.byteCount(of: type.shape, type.dataType)
    guard count == expected else {
      throw ServiceError(
        .invalidArgument,
        "the input \(input.name) has \(count) bytes, but \(type.dataType.rawValue) of shape \(type.shape) "
          + "takes \(expected.map(String.init) ?? "more than there can be")")
    }
  }

  private static func dataType(of input: Input) throws(ServiceError) -> DataType {
    guard let dataType = DataType(rawValue: input.datatype) else {
      let known = DataType.allCases.map(\.rawValue).joined(separator: ", ")
      throw ServiceError(
        .invalidArgument,
        "the input \(input.name) has the datatype '\(input.datatype)', which is none of \(known)")
    }
    return dataType
  }

  private static func shape(of input: Input) throws(ServiceError) -> [Int] {
    let shape = input.shape.compactMap { Int(exactly: $0) }
    guard shape.count == input.shape.count else {
      throw ServiceError(
        .invalidArgument, "the input \(input.name) has the shape \(input.shape), which is too large")
    }
    return shape
  }

  private static func raw(
    _ contents: RawContents, of input: Input, _ type: ModelTensor
  ) throws(ServiceError) -> Tensor {
    guard !input.hasContents || input.contents == .init() else {
      throw ServiceError(
        .invalidArgument,
        "the input \(input.name) has raw and typed contents; send either one")
    }
    try checkCount(contents.count, of: input, type)
    return Tensor(dataType: type.dataType, shape: type.shape, bytes: contents.bytes)
  }

  private static func typed(_ input: Input, _ type: ModelTensor) throws(ServiceError) -> Tensor {
    let contents = try TypedContents(input.contents, of: input.name, type: type.dataType)
    let expected = type.shape.reduce(1, *)
    guard contents.count == expected else {
      throw ServiceError(
        .invalidArgument,
        "the input \(input.name) has \(contents.count) elements, but the shape \(type.shape) takes \(expected)"
      )
    }
    return Tensor(dataType: type.dataType, shape: type.shape, bytes: contents.bytes)
  }
}

extension [String: Tensor] {
  /// Of checked inputs.
  var sampleCount: Int { values.first?.shape.first ?? 1 }
}
