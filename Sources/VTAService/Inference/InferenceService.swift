internal import GRPCCore
internal import Logging
internal import SwiftProtobuf
internal import Synchronization
internal import VTAModule
internal import VTARuntime

/// The Open Inference Protocol: decodes a call, hands it on and encodes the answer.
struct InferenceService: Inference_GRPCInferenceService.ServiceProtocol {
  /// Extensions of the protocol that are there, by Triton's names.
  static let extensions = ["model_repository"]

  let models: ModelStore
  let device: DeviceWorker
  let drain: Drain
  let counters: ServiceCounters
  /// Of one run, waiting included; `nil`: none.
  let runDeadline: Duration?

  func serverLive(
    request: ServerRequest<Inference_ServerLiveRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ServerLiveResponse> {
    ServerResponse(message: .with { $0.live = true })
  }

  func serverReady(
    request: ServerRequest<Inference_ServerReadyRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ServerReadyResponse> {
    let isReady = await models.isReady && device.description.isServing && !drain.hasBegun
    return ServerResponse(message: .with { $0.ready = isReady })
  }

  func serverMetadata(
    request: ServerRequest<Inference_ServerMetadataRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ServerMetadataResponse> {
    ServerResponse(
      message: .with {
        $0.name = "vtad"
        $0.version = Version.text
        $0.extensions = Self.extensions + ["vta_device:\(device.description.kind.rawValue)"]
      })
  }

  func modelReady(
    request: ServerRequest<Inference_ModelReadyRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelReadyResponse> {
    try await reply(to: request) { message, caller in
      let isReady = await models.isReady(message.name, version: message.version, for: caller)
      return .with { $0.ready = isReady }
    }
  }

  func modelMetadata(
    request: ServerRequest<Inference_ModelMetadataRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelMetadataResponse> {
    try await reply(to: request) { message, caller in
      let model = try await models.find(message.name, version: message.version, for: caller)
      let module = model.loaded.module
      return .with {
        $0.name = model.name
        $0.versions = model.versions
        // Nobody shall take the simulator for a board.
        $0.platform = "vta_vtab:\(device.description.kind.rawValue)"
        $0.inputs = module.inputs.map(Self.metadata)
        $0.outputs = module.outputs.map(Self.metadata)
      }
    }
  }

  func modelInfer(
    request: ServerRequest<Inference_ModelInferRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelInferResponse> {
    try await reply(to: request) { message, caller in
      try await infer(message, for: caller)
    }
  }

  func repositoryIndex(
    request: ServerRequest<Inference_RepositoryIndexRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_RepositoryIndexResponse> {
    try await reply(to: request) { message, caller in
      try Self.checkRepository(message.repositoryName)
      let entries = await models.index(for: caller)
      return .with {
        $0.models = entries.filter { $0.isReady || !message.ready }.map { entry in
          .with {
            $0.name = entry.name
            $0.version = entry.version
            $0.state = entry.isReady ? "READY" : "UNAVAILABLE"
            $0.reason = entry.reason ?? ""
          }
        }
      }
    }
  }

  func repositoryModelLoad(
    request: ServerRequest<Inference_RepositoryModelLoadRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_RepositoryModelLoadResponse> {
    try await reply(to: request) { message, caller in
      try Self.checkRepository(message.repositoryName)
      if let file = try SubmittedFile(message.parameters) {
        try await models.submit(file.bytes, as: message.modelName, for: caller)
      } else {
        try await models.load(message.modelName, for: caller)
      }
      return .init()
    }
  }

  func repositoryModelUnload(
    request: ServerRequest<Inference_RepositoryModelUnloadRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_RepositoryModelUnloadResponse> {
    try await reply(to: request) { message, caller in
      try Self.checkRepository(message.repositoryName)
      try await models.unload(message.modelName, for: caller)
      return .init()
    }
  }
}

extension InferenceService {
  private func infer(
    _ request: Inference_ModelInferRequest, for caller: Caller
  ) async throws -> Inference_ModelInferResponse {
    counters.running.add(1, ordering: .relaxed)
    defer { counters.running.subtract(1, ordering: .relaxed) }
    try InferenceParameters.refuseUnsupported(request.parameters, of: "the request")
    let model = try await models.find(request.modelName, version: request.modelVersion, for: caller)
    let outputs = try InferenceOutputs(request, of: model.loaded.module)
    let inputs = try InferenceInputs.tensors(of: request, for: model.loaded.module)
    let result = try await run(model.loaded, inputs: inputs)
    counters.inferences.add(1, ordering: .relaxed)
    var response = Inference_ModelInferResponse()
    response.modelName = model.name
    response.modelVersion = model.version
    response.id = request.id
    // Nobody shall take the simulator's answer for the board's.
    if let reason = result.fallback {
      response.parameters["vta_fallback"] = .with { $0.stringParam = reason }
    }
    try outputs.fill(&response, from: result)
    return response
  }

  /// Gives up the run when its client leaves, but not when the daemon drains.
  private func run(_ model: LoadedModel, inputs: [String: Tensor]) async throws -> RunResult {
    let run = Task { try await device.run(model, inputs: inputs, deadline: runDeadline) }
    return try await withRPCCancellationHandler {
      try await withTaskCancellationHandler {
        try await run.value
      } onCancel: {
        run.cancel()
      }
    } onCancelRPC: { [drain] in
      if !drain.hasBegun { run.cancel() }
    }
  }

  /// Answers a call, or refuses it with the status and sentence that belong to the error.
  private func reply<Input, Output>(
    to request: ServerRequest<Input>, _ body: (Input, Caller) async throws -> Output
  ) async throws -> ServerResponse<Output> {
    do {
      return ServerResponse(message: try await body(request.message, Caller(request.metadata)))
    } catch {
      throw RPCError(ServiceError(error))
    }
  }

  private static func metadata(_ tensor: ModelTensor) -> Inference_ModelMetadataResponse.TensorMetadata {
    .with {
      $0.name = tensor.name
      $0.datatype = tensor.dataType.rawValue
      // Any number of samples.
      $0.shape = [-1] + tensor.shape.dropFirst().map(Int64.init)
    }
  }

  private static func checkRepository(_ name: String) throws(ServiceError) {
    guard name.isEmpty else {
      throw ServiceError(
        .invalidArgument, "there is no repository \(name); vtad has one without a name, leave it out")
    }
  }
}
