internal import Foundation
internal import SwiftProtobuf
internal import VTAModule

/// An inference request as HTTP carries it: JSON, followed by the tensors that are not in the JSON.
struct HTTPInferenceRequest {
  let request: InferenceRequest
  /// Outputs that are wanted as bytes behind the JSON of the answer.
  let binary: BinaryOutputs

  struct BinaryOutputs: Sendable {
    var all = false
    var named: [String: Bool] = [:]

    func contains(_ name: String) -> Bool { named[name] ?? all }
  }

  /// - Parameters:
  ///   - body: Of the request.
  ///   - jsonByteCount: How much of it is JSON; `nil`: all of it.
  /// - Throws: ``ServiceError`` naming what is wrong with it.
  init(_ body: Data, jsonByteCount: Int?, model: String, version: String) throws(ServiceError) {
    let count = jsonByteCount ?? body.count
    guard count >= 0, count <= body.count else {
      throw ServiceError(
        .invalidArgument,
        "Inference-Header-Content-Length is \(count), but the body has \(body.count) bytes")
    }
    let json = try JSONBody.decode(Body.self, from: body.prefix(count))
    var rest = body.dropFirst(count)
    var message = Inference_ModelInferRequest()
    message.modelName = model
    message.modelVersion = version
    message.id = json.id?.text ?? ""
    message.parameters = Self.parameters(json.parameters)
    var rawContents: [RawContents] = []
    var binary = BinaryOutputs()
    binary.all = message.parameters.removeValue(forKey: "binary_data_output")?.boolParam ?? false
    for input in json.inputs {
      var parameters = Self.parameters(input.parameters)
      let size = parameters.removeValue(forKey: "binary_data_size")
      let tensor = Self.tensor(input, parameters)
      if let size {
        guard case .int64Param(let count)? = size.parameterChoice, let count = Int(exactly: count),
          count >= 0,
          count <= rest.count
        else {
          throw ServiceError(
            .invalidArgument,
            "the input \(input.name): \(rest.count) bytes are left behind the JSON, not its binary_data_size")
        }
        guard input.data == nil else {
          throw ServiceError(
            .invalidArgument, "the input \(input.name) has data and a binary_data_size; send either one")
        }
        rawContents.append(.data(rest.prefix(count)))
        rest = rest.dropFirst(count)
      } else if parameters["shared_memory_region"] == nil {
        rawContents.append(.data(try Self.bytes(of: input)))
      }
      message.inputs.append(tensor)
    }
    guard rest.isEmpty else {
      throw ServiceError(
        .invalidArgument, "\(rest.count) bytes behind the JSON belong to no input; fill in binary_data_size")
    }
    for output in json.outputs ?? [] {
      var parameters = Self.parameters(output.parameters)
      if let wanted = parameters.removeValue(forKey: "binary_data") {
        binary.named[output.name] = wanted.boolParam
      }
      message.outputs.append(
        .with {
          $0.name = output.name
          $0.parameters = parameters
        })
    }
    request = InferenceRequest(message, rawContents: rawContents)
    self.binary = binary
  }

  private struct Body: Decodable {
    let id: JSONScalar?
    let parameters: [String: JSONScalar]?
    let inputs: [Input]
    let outputs: [Output]?
  }

  private struct Input: Decodable {
    let name: String
    let datatype: String
    let shape: [Int64]
    let parameters: [String: JSONScalar]?
    let data: JSONElements?
  }

  private struct Output: Decodable {
    let name: String
    let parameters: [String: JSONScalar]?
  }

  private static func tensor(
    _ input: Input, _ parameters: [String: Inference_InferParameter]
  ) -> Inference_ModelInferRequest.InferInputTensor {
    .with {
      $0.name = input.name
      $0.datatype = input.datatype
      $0.shape = input.shape
      $0.parameters = parameters
    }
  }

  private static func parameters(_ values: [String: JSONScalar]?) -> [String: Inference_InferParameter] {
    (values ?? [:]).mapValues { value in
      .with {
        switch value {
        case .bool(let value): $0.boolParam = value
        case .integer(let value): $0.int64Param = value
        case .unsigned(let value): $0.uint64Param = value
        case .number(let value): $0.doubleParam = value
        case .text(let value): $0.stringParam = value
        }
      }
    }
  }

  /// The elements in the JSON as the bytes of their datatype.
  private static func bytes(of input: Input) throws(ServiceError) -> Data {
    guard let data = input.data else {
      throw ServiceError(
        .invalidArgument, "the input \(input.name) has no data; send data, bytes or shared memory")
    }
    guard let type = DataType(rawValue: input.datatype) else {
      throw ServiceError(
        .invalidArgument, "the input \(input.name) has the datatype '\(input.datatype)', which is not known")
    }
    guard let bytes = data.bytes(as: type) else {
      throw ServiceError(
        .invalidArgument, "the input \(input.name) has elements that \(type.rawValue) can't hold")
    }
    return bytes
  }
}
