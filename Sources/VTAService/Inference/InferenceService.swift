internal import GRPCCore
internal import NIOCore
internal import SwiftProtobuf

/// The Open Inference Protocol over gRPC.
struct InferenceService: Inference_GRPCInferenceService.ServiceProtocol, CallAnswering {
  /// Requests of one stream that are worked on at the same time; more wait in the stream.
  static let streamRequests = 16

  let core: InferenceProtocol

  func serverLive(
    request: ServerRequest<Inference_ServerLiveRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ServerLiveResponse> {
    ServerResponse(message: .with { $0.live = true })
  }

  func serverReady(
    request: ServerRequest<Inference_ServerReadyRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ServerReadyResponse> {
    let isReady = await core.isReady
    return ServerResponse(message: .with { $0.ready = isReady })
  }

  func serverMetadata(
    request: ServerRequest<Inference_ServerMetadataRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ServerMetadataResponse> {
    ServerResponse(message: core.serverMetadata())
  }

  func modelReady(
    request: ServerRequest<Inference_ModelReadyRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelReadyResponse> {
    try await reply(to: request, core.modelReady)
  }

  func modelMetadata(
    request: ServerRequest<Inference_ModelMetadataRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelMetadataResponse> {
    try await reply(to: request, core.modelMetadata)
  }

  func modelConfig(
    request: ServerRequest<Inference_ModelConfigRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelConfigResponse> {
    try await reply(to: request, core.modelConfig)
  }

  func modelStatistics(
    request: ServerRequest<Inference_ModelStatisticsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelStatisticsResponse> {
    try await reply(to: request, core.modelStatistics)
  }

  func modelInfer(
    request: ServerRequest<Inference_ModelInferRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_ModelInferResponse> {
    try await reply(to: request) { message, caller in
      try await untilClientLeaves {
        try await core.infer(InferenceRequest(message), for: caller).whole
      }
    }
  }

  func modelStreamInfer(
    request: StreamingServerRequest<Inference_ModelInferRequest>, context: ServerContext
  ) async throws -> StreamingServerResponse<Inference_ModelStreamInferResponse> {
    let caller: Caller
    do { caller = try Caller(request.metadata) } catch { throw RPCError(error) }
    let messages = request.messages
    return StreamingServerResponse { writer in
      try await untilClientLeaves {
        try await withThrowingTaskGroup(of: Void.self) { group in
          var working = 0
          for try await message in messages {
            if working == Self.streamRequests {
              try await group.next()
              working -= 1
            }
            working += 1
            group.addTask { try await writer.write(await answer(message, for: caller)) }
          }
          try await group.waitForAll()
        }
      }
      return [:]
    }
  }

  func repositoryIndex(
    request: ServerRequest<Inference_RepositoryIndexRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_RepositoryIndexResponse> {
    try await reply(to: request, core.repositoryIndex)
  }

  func repositoryModelLoad(
    request: ServerRequest<Inference_RepositoryModelLoadRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_RepositoryModelLoadResponse> {
    try await reply(to: request, core.repositoryModelLoad)
  }

  func repositoryModelUnload(
    request: ServerRequest<Inference_RepositoryModelUnloadRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_RepositoryModelUnloadResponse> {
    try await reply(to: request, core.repositoryModelUnload)
  }

  func systemSharedMemoryStatus(
    request: ServerRequest<Inference_SystemSharedMemoryStatusRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_SystemSharedMemoryStatusResponse> {
    try await reply(to: request, core.sharedMemoryStatus)
  }

  func systemSharedMemoryRegister(
    request: ServerRequest<Inference_SystemSharedMemoryRegisterRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_SystemSharedMemoryRegisterResponse> {
    try await reply(to: request, core.registerSharedMemory)
  }

  func systemSharedMemoryUnregister(
    request: ServerRequest<Inference_SystemSharedMemoryUnregisterRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_SystemSharedMemoryUnregisterResponse> {
    try await reply(to: request, core.unregisterSharedMemory)
  }

  func cudaSharedMemoryStatus(
    request: ServerRequest<Inference_CudaSharedMemoryStatusRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_CudaSharedMemoryStatusResponse> {
    throw RPCError(InferenceProtocol.noCUDA)
  }

  func cudaSharedMemoryRegister(
    request: ServerRequest<Inference_CudaSharedMemoryRegisterRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_CudaSharedMemoryRegisterResponse> {
    throw RPCError(InferenceProtocol.noCUDA)
  }

  func cudaSharedMemoryUnregister(
    request: ServerRequest<Inference_CudaSharedMemoryUnregisterRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_CudaSharedMemoryUnregisterResponse> {
    // Triton's examples begin by giving back all regions, of which there are none.
    guard request.message.name.isEmpty else { throw RPCError(InferenceProtocol.noCUDA) }
    return ServerResponse(message: .init())
  }

  func traceSetting(
    request: ServerRequest<Inference_TraceSettingRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_TraceSettingResponse> {
    try await reply(to: request, core.traceSetting)
  }

  func logSettings(
    request: ServerRequest<Inference_LogSettingsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Inference_LogSettingsResponse> {
    try await reply(to: request, core.logSettings)
  }
}

extension InferenceService {
  /// An error is an answer: it ends its request, not the stream.
  private func answer(
    _ message: Inference_ModelInferRequest, for caller: Caller
  ) async -> Inference_ModelStreamInferResponse {
    var answer = Inference_ModelStreamInferResponse()
    do {
      answer.inferResponse = try await core.infer(InferenceRequest(message), for: caller).whole
    } catch {
      answer.errorMessage = ServiceError(error).description
      answer.inferResponse.id = message.id
    }
    if message.parameters["triton_enable_empty_final_response"] != nil {
      answer.inferResponse.parameters["triton_final_response"] = .with { $0.boolParam = true }
    }
    return answer
  }
}

extension UnaryCall {
  /// The call that most of a client's time goes into.
  static func modelInfer(_ core: InferenceProtocol) -> UnaryCall {
    UnaryCall(method: Inference_GRPCInferenceService.Method.ModelInfer.descriptor) { received, caller in
      let request = try InferenceRequest(encoded: received.take() ?? ByteBuffer())
      if request.isSmall { return try await core.infer(request, for: caller).framed() }
      return try await withTaskExecutorPreference(globalConcurrentExecutor) {
        try await core.infer(request, for: caller).framed()
      }
    }
  }
}

extension InferenceRequest {
  /// A picture. Reading it from shared memory and quantizing it takes about as long as waking another thread for that, and
  /// the event loop's by it.
  private static let smallSharedBytes: UInt64 = 1 << 20

  /// Whether its inputs are made ready where the connection is served.
  fileprivate var isSmall: Bool {
    guard rawByteCount <= DirectCall.smallBytes else { return false }
    var sharedBytes: UInt64 = 0
    for input in message.inputs {
      guard !input.hasContents else { return false }
      let parameters = RequestParameters(input.parameters, of: input.name)
      // What can't be read is refused at once.
      let size = (try? parameters.number("shared_memory_byte_size")) ?? 0
      guard size <= Self.smallSharedBytes - sharedBytes else { return false }
      sharedBytes += size
    }
    return true
  }
}
