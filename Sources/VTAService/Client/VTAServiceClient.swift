internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2
internal import NIOPosix
internal import SwiftProtobuf
package import VTAModule

/// A connection to a daemon. What it submits is gone when ``connect(to:_:)`` returns.
package struct VTAServiceClient: Sendable {
  private let inference: Inference_GRPCInferenceService.Client<HTTP2ClientTransport.Posix>
  let daemon: Vta_V1_Daemon.Client<HTTP2ClientTransport.Posix>
  private let address: DaemonAddress

  /// Calls `body` with a connection to a daemon.
  /// - Throws: ``ServiceError``, `unavailable` if nobody listens there; what `body` throws.
  package static func connect<Result: Sendable>(
    to address: DaemonAddress, _ body: @Sendable (VTAServiceClient) async throws -> Result
  ) async throws -> Result {
    try address.check()
    var config = HTTP2ClientTransport.Posix.Config.defaults
    config.http2.maxFrameSize = HTTP2Tuning.frameBytes
    config.http2.targetWindowSize = HTTP2Tuning.windowBytes
    config.connection.flushCoalescing = nil
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let transport = try address.transport(config, on: loop)
    return try await withTaskExecutorPreference(EventLoopExecutor(loop)) {
      try await withGRPCClient(transport: transport) { client in
        try await body(
          VTAServiceClient(
            inference: .init(wrapping: client), daemon: .init(wrapping: client), address: address))
      }
    }
  }

  package static func isListening(on address: DaemonAddress) -> Bool {
    (try? address.check()) != nil
  }

  package func status() async throws(ServiceError) -> DaemonStatus {
    DaemonStatus(try await answer { try await daemon.status(.init(), options: Self.options) })
  }

  /// The models that this connection can ask for.
  package func models() async throws(ServiceError) -> [ModelListing] {
    let index = try await answer { try await inference.repositoryIndex(.init(), options: Self.options) }
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
    _ = try await answer { try await inference.repositoryModelLoad(request, options: Self.options) }
  }

  /// Reads a model of the daemon's folder, again if it is there already.
  package func load(_ name: String) async throws(ServiceError) {
    _ = try await answer {
      try await inference.repositoryModelLoad(.with { $0.modelName = name }, options: Self.options)
    }
  }

  package func unload(_ name: String) async throws(ServiceError) {
    _ = try await answer {
      try await inference.repositoryModelUnload(.with { $0.modelName = name }, options: Self.options)
    }
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
    _ = try await answer { try await inference.repositoryModelLoad(request, options: Self.options) }
  }

  /// What all models have done that this connection can ask for.
  package func activity() async throws(ServiceError) -> [ModelActivity] {
    try await answer { try await inference.modelStatistics(.init(), options: Self.options) }.modelStats.map(
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
    try await answer { try await inference.modelInfer(request, options: Self.options) }
  }

  func register(region name: String, key: String, byteCount: Int) async throws(ServiceError) {
    let request = Inference_SystemSharedMemoryRegisterRequest.with {
      $0.name = name
      $0.key = key
      $0.byteSize = UInt64(byteCount)
    }
    _ = try await answer { try await inference.systemSharedMemoryRegister(request, options: Self.options) }
  }
}

/// What a daemon answered.
package struct InferenceAnswer: Sendable {
  package let outputs: [(name: String, tensor: Tensor)]
  /// Why the simulator gave it instead of the device; `nil`: it did not.
  package let fallback: String?
}

extension VTAServiceClient {
  static var options: CallOptions {
    var options = CallOptions.defaults
    options.maxRequestMessageBytes = DaemonConfiguration.messageBytesMax
    options.maxResponseMessageBytes = DaemonConfiguration.messageBytesMax
    return options
  }

  func answer<Output: Sendable>(
    _ call: @Sendable () async throws -> Output
  ) async throws(ServiceError) -> Output {
    do {
      return try await call()
    } catch {
      let error = ServiceError(answered: error, by: address)
      guard error.description == address.silence else { throw error }
      throw ServiceError(.unavailable, await address.examinedSilence)
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
  fileprivate init(answered error: any Error, by address: DaemonAddress) {
    guard let error = error as? RPCError else {
      self.init(.internal, "\(address): \(error)")
      return
    }
    let kind: Kind = Kind.allCases.first { ServiceError($0, "").rpcErrorCode == error.code } ?? .internal
    switch error.code {
    case .unavailable where error.cause != nil || error.message.isEmpty:
      self.init(.unavailable, address.silence)
    case .unimplemented:
      self.init(.internal, "\(address): the daemon is of another version and doesn't know this call")
    default:
      self.init(kind, error.message)
    }
  }
}
