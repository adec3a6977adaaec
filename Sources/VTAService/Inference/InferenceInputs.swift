internal import Foundation
internal import VTAModule
internal import VTARuntime

/// From the tensors of a request to those of the runtime. Names, types and shapes are compared with the model before any
/// element is looked at, so that no size of a request is trusted.
enum InferenceInputs {
  typealias Input = Inference_ModelInferRequest.InferInputTensor

  /// - Throws: ``ServiceError`` or ``RuntimeError``.
  static func tensors(of request: Inference_ModelInferRequest, for module: Module) throws -> [String: Tensor]
  {
    let types = try declared(request.inputs, for: module)
    let raw = request.rawInputContents
    guard raw.isEmpty || raw.count == request.inputs.count else {
      throw ServiceError(
        .invalidArgument,
        "the request has \(raw.count) raw contents for \(request.inputs.count) inputs; send one for each")
    }
    var tensors: [String: Tensor] = [:]
    for (index, (input, type)) in zip(request.inputs, types).enumerated() {
      tensors[input.name] =
        raw.isEmpty ? try typed(input, type) : try self.raw(raw[index], of: input, type)
    }
    return tensors
  }

  /// Types and shapes in the order of the request; all of them fit the model.
  private static func declared(_ inputs: [Input], for module: Module) throws -> [ModelTensor] {
    let types = try inputs.map { input in
      try InferenceParameters.refuseUnsupported(input.parameters, of: "the input \(input.name)")
      return ModelTensor(name: input.name, dataType: try dataType(of: input), shape: try shape(of: input))
    }
    var byName: [String: ModelTensor] = [:]
    for type in types where byName.updateValue(type, forKey: type.name) != nil {
      throw ServiceError(.invalidArgument, "the input \(type.name) is in the request twice; send it once")
    }
    try InputCheck.sampleCount(of: byName, for: module)
    return types
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

  private static func raw(_ bytes: Data, of input: Input, _ type: ModelTensor) throws(ServiceError) -> Tensor
  {
    guard !input.hasContents || input.contents == .init() else {
      throw ServiceError(
        .invalidArgument,
        "the input \(input.name) has raw and typed contents; send either one")
    }
    let expected = Tensor.byteCount(of: type.shape, type.dataType)
    guard bytes.count == expected else {
      throw ServiceError(
        .invalidArgument,
        "the input \(input.name) has \(bytes.count) bytes, but \(type.dataType.rawValue) of shape \(type.shape) "
          + "takes \(expected.map(String.init) ?? "more than there can be")")
    }
    return Tensor(dataType: type.dataType, shape: type.shape, bytes: [UInt8](bytes))
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
