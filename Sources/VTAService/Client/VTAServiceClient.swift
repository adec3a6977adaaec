internal import CVTALinux
internal import Foundation
internal import GRPCCore
internal import GRPCNIOTransportHTTP2
internal import Glibc
internal import SwiftProtobuf
internal import SystemPackage
package import VTAModule

/// A connection to a daemon. What it submits is gone when ``connect(to:_:)`` returns.
package struct VTAServiceClient: Sendable {
  package static let defaultSocket = "/run/vtad/vtad.sock"
  package static let socketVariable = "VTAD_SOCKET"

  private let inference: Inference_GRPCInferenceService.Client<HTTP2ClientTransport.Posix>
  private let daemon: Vta_V1_Daemon.Client<HTTP2ClientTransport.Posix>
  private let socket: String

  /// Calls `body` with a connection to the daemon that listens on `socket`.
  /// - Throws: ``ServiceError``, `unavailable` if nobody listens there; what `body` throws.
  package static func connect<Result: Sendable>(
    to socket: String, _ body: @Sendable (VTAServiceClient) async throws -> Result
  ) async throws -> Result {
    // gRPC would try for a long time, and never say why.
    try checkListener(socket)
    var config = HTTP2ClientTransport.Posix.Config.defaults
    // Otherwise the percent-encoded path, which strict servers refuse.
    config.http2.authority = "localhost"
    config.http2.maxFrameSize = HTTP2Tuning.frameBytes
    config.http2.targetWindowSize = HTTP2Tuning.windowBytes
    config.connection.flushCoalescing = nil
    let transport = try HTTP2ClientTransport.Posix(
      target: .unixDomainSocket(path: socket), transportSecurity: .plaintext, config: config)
    return try await withGRPCClient(transport: transport) { client in
      try await body(
        VTAServiceClient(inference: .init(wrapping: client), daemon: .init(wrapping: client), socket: socket))
    }
  }

  package static func isListening(on socket: String) -> Bool {
    (try? checkListener(socket)) != nil
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
    let response = try await answer { [request] in
      try await inference.modelInfer(request, options: Self.options)
    }
    return InferenceAnswer(
      outputs: try outputs(of: response), fallback: response.parameters["vta_fallback"]?.stringParam)
  }
}

/// What a daemon answered.
package struct InferenceAnswer: Sendable {
  package let outputs: [(name: String, tensor: Tensor)]
  /// Why the simulator gave it instead of the device; `nil`: it did not.
  package let fallback: String?
}

extension VTAServiceClient {
  private static var options: CallOptions {
    var options = CallOptions.defaults
    options.maxRequestMessageBytes = DaemonConfiguration.messageBytesMax
    options.maxResponseMessageBytes = DaemonConfiguration.messageBytesMax
    return options
  }

  private static func checkListener(_ socket: String) throws(ServiceError) {
    let descriptor = vta_unix_connect(socket)
    if descriptor >= 0 {
      close(descriptor)
      return
    }
    let error = Errno(rawValue: -descriptor)
    let why =
      switch error {
      case .permissionDenied: "you may not connect to it; ask for membership of the socket's group"
      case .resourceTemporarilyUnavailable: "the daemon doesn't accept connections; look at its log"
      default:
        "no daemon listens there (\(error)); start vtad, or choose its socket with --socket"
      }
    throw ServiceError(.unavailable, "\(socket): \(why)")
  }

  private func answer<Output: Sendable>(
    _ call: @Sendable () async throws -> Output
  ) async throws(ServiceError) -> Output {
    do {
      return try await call()
    } catch {
      throw ServiceError(answered: error, by: socket)
    }
  }

  private func outputs(
    of response: Inference_ModelInferResponse
  ) throws(ServiceError) -> [(name: String, tensor: Tensor)] {
    guard response.outputs.count == response.rawOutputContents.count else {
      throw ServiceError(.internal, "\(socket): the daemon's answer has outputs without contents")
    }
    var outputs: [(name: String, tensor: Tensor)] = []
    for (output, bytes) in zip(response.outputs, response.rawOutputContents) {
      let shape = output.shape.compactMap { Int(exactly: $0) }
      guard let dataType = DataType(rawValue: output.datatype), shape.count == output.shape.count,
        Tensor.byteCount(of: shape, dataType) == bytes.count
      else {
        throw ServiceError(
          .internal, "\(socket): the daemon's output \(output.name) doesn't have the bytes of its shape")
      }
      outputs.append((output.name, Tensor(dataType: dataType, shape: shape, bytes: [UInt8](bytes))))
    }
    return outputs
  }
}

extension ServiceError {
  /// What the daemon answered, as the error that it was there.
  fileprivate init(answered error: any Error, by socket: String) {
    guard let error = error as? RPCError else {
      self.init(.internal, "\(socket): \(error)")
      return
    }
    let kind: Kind = Kind.allCases.first { ServiceError($0, "").rpcErrorCode == error.code } ?? .internal
    switch error.code {
    case .unavailable where error.cause != nil || error.message.isEmpty:
      self.init(.unavailable, "\(socket): the daemon closed the connection; look at its log")
    case .unimplemented:
      self.init(.internal, "\(socket): the daemon is of another version and doesn't know this call")
    default:
      self.init(kind, error.message)
    }
  }
}
