internal import Foundation
internal import VTAModule
internal import VTARuntime

/// Which outputs a request wants, and the answer with them.
struct InferenceOutputs {
  private let names: [String]

  /// - Throws: If a requested output doesn't exist or is requested twice.
  init(_ request: Inference_ModelInferRequest, of module: Module) throws(ServiceError) {
    let known = module.outputs.map(\.name)
    var names: [String] = []
    for output in request.outputs {
      try InferenceParameters.refuseUnsupported(output.parameters, of: "the output \(output.name)")
      guard known.contains(output.name) else {
        throw ServiceError(
          .invalidArgument,
          "the model has no output \(output.name); its outputs are \(known.joined(separator: ", "))")
      }
      guard !names.contains(output.name) else {
        throw ServiceError(
          .invalidArgument, "the output \(output.name) is in the request twice; ask for it once")
      }
      names.append(output.name)
    }
    self.names = names.isEmpty ? known : names
  }

  /// - Throws: If the run did not give an output that the module declares.
  func fill(_ response: inout Inference_ModelInferResponse, from result: RunResult) throws(ServiceError) {
    for name in names {
      guard let tensor = result.outputs.first(where: { $0.name == name })?.tensor else {
        throw ServiceError(.internal, "the run gave no output \(name)")
      }
      var output = Inference_ModelInferResponse.InferOutputTensor()
      output.name = name
      output.datatype = tensor.dataType.rawValue
      output.shape = tensor.shape.map(Int64.init)
      response.outputs.append(output)
      response.rawOutputContents.append(Data(tensor.bytes))
    }
  }
}
