internal import Foundation
internal import GRPCCore
internal import NIOCore
internal import NIOPosix
internal import SwiftProtobuf
package import VTAModule

/// A connection to a daemon. What it submits is gone when ``connect(to:_:)`` returns.
package struct VTAServiceClient: Sendable {
  typealias Inference = Inference_GRPCInferenceService.Method
  typealias Daemon = Vta_V1_Daemon.Method

  private let client: UnaryClient
  private let address: DaemonAddress

  /// Calls `body` with a connection to a daemon.
  /// - Throws: ``ServiceError``, `unavailable` if nobody listens there; what `body` throws.
  package static func connect<Result: Sendable>(
    to address: DaemonAddress, _ body: @Sendable (VTAServiceClient) async throws -> Result
  ) async throws -> Result {
    try address.check()
    let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
    let client = try UnaryClient(address, on: eventLoop)
    let result: Swift.Result<Result, any Error>
    do {
      result = .success(
        try await withTaskExecutorPreference(EventLoopExecutor(eventLoop)) {
          try await body(VTAServiceClient(client: client, address: address))
        })
    } catch {
      result = .failure(error)
    }
    try? await client.close().get()
    return try result.get()
  }

  package static func isListening(on address: DaemonAddress) -> Bool {
    (try? address.check()) != nil
  }

  package func status() async throws(ServiceError) -> DaemonStatus {
    DaemonStatus(try await call(Daemon.Status.self, .init()))
  }

  /// The models that this connection can ask for.
  package func models() async throws(ServiceError) -> [ModelListing] {
    let index = try await call(Inference.RepositoryIndex.self, .init())
    return index.models.map {
      ModelListing(name: $0.name, version: $0.version, state: $0.state, reason: $0.reason)
    }
  }

  /// Loads a `.vtab` file for this connection alone.
  package func submit(_ file: [UInt8], as name: String) async throws(ServiceError) {
    let request = Inference_RepositoryModelLoadRequest.with {
      $0.modelName = name
      $0.parameters = ["file:1/model.vtab": .with { $0.bytesParam = Data(file) }]
    }
    _ = try await call(Inference.RepositoryModelLoad.self, request)
  }

  /// Reads a model of the daemon's folder, again if it is there already.
  package func load(_ name: String) async throws(ServiceError) {
    _ = try await call(Inference.RepositoryModelLoad.self, .with { $0.modelName = name })
  }

  package func unload(_ name: String) async throws(ServiceError) {
    _ = try await call(Inference.RepositoryModelUnload.self, .with { $0.modelName = name })
  }

  /// Keeps a `.vtab` file in the daemon's folder, for everybody.
  package func publish(_ file: [UInt8], as name: String, version: UInt64) async throws(ServiceError) {
    let request = Inference_RepositoryModelLoadRequest.with {
      $0.modelName = name
      $0.parameters = [
        "file:\(version)/model.vtab": .with { $0.bytesParam = Data(file) },
        "config": .with {
          $0.stringParam = #"{"parameters":{"visibility":{"string_value":"everybody"}}}"#
        },
      ]
    }
    _ = try await call(Inference.RepositoryModelLoad.self, request)
  }

  /// What all models have done that this connection can ask for.
  package func activity() async throws(ServiceError) -> [ModelActivity] {
    try await call(Inference.ModelStatistics.self, .init()).modelStats.map(
      ModelActivity.init)
  }

  /// - Parameter inputs: By name; the batch axis first.
  /// - Returns: All outputs, in the model's order.
  package func infer(
    _ model: String, inputs: [String: Tensor]
  ) async throws(ServiceError) -> InferenceAnswer {
    var request = Inference_ModelInferRequest()
    request.modelName = model
    for (name, tensor) in inputs.sorted(by: { $0.key < $1.key }) {
      request.inputs.append(
        .with {
          $0.name = name
          $0.datatype = tensor.dataType.rawValue
          $0.shape = tensor.shape.map(Int64.init)
        })
      request.rawInputContents.append(Data(tensor.bytes))
    }
    let response = try await send(request)
    return InferenceAnswer(
      outputs: try outputs(of: response), fallback: response.parameters["vta_fallback"]?.stringParam)
  }

  func send(
    _ request: Inference_ModelInferRequest
  ) async throws(ServiceError) -> Inference_ModelInferResponse {
    try await call(Inference.ModelInfer.self, request)
  }

  func register(region name: String, key: String, byteCount: Int) async throws(ServiceError) {
    let request = Inference_SystemSharedMemoryRegisterRequest.with {
      $0.name = name
      $0.key = key
      $0.byteSize = UInt64(byteCount)
    }
    _ = try await call(Inference.SystemSharedMemoryRegister.self, request)
  }
}

/// What a daemon answered.
package struct InferenceAnswer: Sendable {
  package let outputs: [(name: String, tensor: Tensor)]
  /// Why the simulator gave it instead of the device; `nil`: it did not.
  package let fallback: String?
}

extension VTAServiceClient {
  /// A call of the daemon, in the words of its protocol.
  func call<Method: UnaryMethod>(
    _ method: Method.Type, _ request: Method.Input
  ) async throws(ServiceError) -> Method.Output {
    do {
      return try await client.call(method, request)
    } catch let failure as CallFailure {
      throw ServiceError(failure, of: address)
    } catch is CancellationError {
      throw ServiceError(.cancelled, "the call was cancelled")
    } catch {
      throw ServiceError(.invalidArgument, "the request can't be sent: \(error)")
    }
  }

  func outputs(
    of response: Inference_ModelInferResponse
  ) throws(ServiceError) -> [(name: String, tensor: Tensor)] {
    guard response.outputs.count == response.rawOutputContents.count else {
      throw ServiceError(.internal, "\(address): the daemon's answer has outputs without contents")
    }
    var outputs: [(name: String, tensor: Tensor)] = []
    for (output, bytes) in zip(response.outputs, response.rawOutputContents) {
      let shape = output.shape.compactMap { Int(exactly: $0) }
      guard let dataType = DataType(rawValue: output.datatype), shape.count == output.shape.count,
        Tensor.byteCount(of: shape, dataType) == bytes.count
      else {
        throw ServiceError(
          .internal, "\(address): the daemon's output \(output.name) doesn't have the bytes of its shape")
      }
      outputs.append((output.name, Tensor(dataType: dataType, shape: shape, bytes: [UInt8](bytes))))
    }
    return outputs
  }
}

extension ServiceError {
  /// What the daemon answered, as the error that it was there.
  fileprivate init(_ failure: CallFailure, of address: DaemonAddress) {
    switch failure {
    case .status(RPCError.Code.unimplemented.rawValue, _):
      self.init(.internal, "\(address): the daemon is of another version and doesn't know this call")
    case .status(let code, let sentence):
      let kind = Kind.allCases.first { ServiceError($0, "").rpcErrorCode.rawValue == code } ?? .internal
      self.init(
        kind, sentence.isEmpty ? "\(address): the daemon answered with gRPC's status \(code)" : sentence)
    case .http(let status) where (500..<600).contains(status):
      self.init(
        .unavailable, "\(address): a proxy answered with HTTP status \(status); look at the daemon behind it")
    case .http(let status):
      self.init(.internal, "\(address): what answers there is no daemon (HTTP status \(status))")
    case .malformed(let why):
      self.init(.internal, "\(address): the answer is none of a daemon: \(why)")
    case .unprocessed:
      self.init(.unavailable, "\(address): the daemon takes no calls at the moment; try again")
    case .connection(let end):
      self = address.error(end)
    }
  }
}
