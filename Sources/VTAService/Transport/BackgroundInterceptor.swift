internal import GRPCCore

/// Takes calls away from the event loops, which must not wait for files, digests or checks of whole modules.
struct BackgroundInterceptor: ServerInterceptor {
  func intercept<Input: Sendable, Output: Sendable>(
    request: StreamingServerRequest<Input>, context: ServerContext,
    next:
      @Sendable (StreamingServerRequest<Input>, ServerContext) async throws
      -> StreamingServerResponse<Output>
  ) async throws -> StreamingServerResponse<Output> {
    var response = try await withTaskExecutorPreference(globalConcurrentExecutor) {
      try await next(request, context)
    }
    response.accepted = response.accepted.map { contents in
      StreamingServerResponse.Contents(metadata: contents.metadata) { writer in
        try await withTaskExecutorPreference(globalConcurrentExecutor) {
          try await contents.producer(writer)
        }
      }
    }
    return response
  }
}

extension GRPCServer {
  /// A server whose calls run in the background.
  convenience init(transport: Transport, daemonServices services: [any RegistrableRPCService]) {
    self.init(
      transport: transport, services: services,
      interceptorPipeline: [.apply(BackgroundInterceptor(), to: .all)])
  }
}
