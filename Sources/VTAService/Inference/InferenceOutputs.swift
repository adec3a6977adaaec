internal import SwiftProtobuf
internal import VTAModule
internal import VTARuntime

/// Which outputs a request wants and where, and the answer with them.
struct InferenceOutputs {
  private struct Wanted {
    let name: String
    /// `nil`: into the message.
    var window: TensorWindow?
    /// `nil`: the tensor itself; else that many of its best classes.
    var classes: Int?
  }

  private let wanted: [Wanted]
  private let labels: [String]

  /// - Throws: If a requested output doesn't exist, is requested twice, or can't go where it is wanted.
  init(
    _ wanted: [Inference_ModelInferRequest.InferRequestedOutputTensor], of module: Module,
    regions: SharedRegions, caller: Caller
  ) throws(ServiceError) {
    labels = module.labels
    let known = module.outputs.map(\.name)
    var outputs: [Wanted] = []
    for output in wanted {
      let what = "the output \(output.name)"
      guard known.contains(output.name) else {
        throw ServiceError(
          .invalidArgument,
          "the model has no output \(output.name); its outputs are \(known.joined(separator: ", "))")
      }
      guard !outputs.contains(where: { $0.name == output.name }) else {
        throw ServiceError(.invalidArgument, "\(what) is in the request twice; ask for it once")
      }
      let parameters = RequestParameters(output.parameters, of: what)
      let classes = try parameters.number("classification").map { Int(clamping: $0) }
      let window = try TensorWindow(parameters, of: what, regions: regions, caller: caller)
      guard classes == nil || window == nil else {
        throw ServiceError(
          .invalidArgument, "\(what) can't be classified into shared memory; ask for one of the two")
      }
      guard classes != 0 else {
        throw ServiceError(.invalidArgument, "\(what): classification takes a number from 1")
      }
      outputs.append(Wanted(name: output.name, window: window, classes: classes))
    }
    self.wanted = outputs.isEmpty ? known.map { Wanted(name: $0) } : outputs
  }

  /// - Throws: If the run did not give an output that the module declares, or it doesn't fit where it is wanted.
  func fill(_ response: inout InferenceResponse, from result: RunResult) throws(ServiceError) {
    for wanted in wanted {
      guard let tensor = result.outputs.first(where: { $0.name == wanted.name })?.tensor else {
        throw ServiceError(.internal, "the run gave no output \(wanted.name)")
      }
      var output = Inference_ModelInferResponse.InferOutputTensor()
      output.name = wanted.name
      output.datatype = tensor.dataType.rawValue
      output.shape = tensor.shape.map(Int64.init)
      if let classes = wanted.classes {
        let (shape, bytes) = try Classification.top(classes, of: tensor, labels: labels)
        output.datatype = "BYTES"
        output.shape = shape.map(Int64.init)
        response.rawContents.append(bytes)
      } else if let window = wanted.window {
        try Self.write(tensor, to: window, of: &output)
        // Clients find an output's contents by its place among all outputs.
        response.rawContents.append([])
      } else {
        response.rawContents.append(tensor.bytes)
      }
      response.message.outputs.append(output)
    }
  }

  private static func write(
    _ tensor: Tensor, to window: TensorWindow, of output: inout Inference_ModelInferResponse.InferOutputTensor
  ) throws(ServiceError) {
    let count = tensor.bytes.count
    guard count <= window.byteCount else {
      throw ServiceError(
        .invalidArgument,
        "the output \(output.name) has \(count) bytes, but its window in shared memory only \(window.byteCount)"
      )
    }
    let failure = tensor.bytes.withUnsafeBytes { bytes -> ServiceError? in
      do throws(ServiceError) {
        try window.region.write(bytes, at: window.offset)
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
    output.parameters["shared_memory_region"] = .with { $0.stringParam = window.region.name }
    output.parameters["shared_memory_byte_size"] = .with { $0.int64Param = Int64(count) }
    if window.offset != 0 {
      output.parameters["shared_memory_offset"] = .with { $0.int64Param = Int64(clamping: window.offset) }
    }
  }
}
