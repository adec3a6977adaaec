internal import GRPCCore

/// A gRPC service whose calls know their caller, and whose errors are statuses.
protocol CallAnswering: Sendable {}

extension CallAnswering {
  /// Answers a call, or refuses it with the status and sentence that belong to the error.
  func reply<Input, Output>(
    to request: ServerRequest<Input>, _ body: (Input, Caller) async throws -> Output
  ) async throws -> ServerResponse<Output> {
    do {
      return ServerResponse(message: try await body(request.message, Caller(request.metadata)))
    } catch {
      throw RPCError(ServiceError(error))
    }
  }

  /// Gives up the work when the client leaves or its deadline passes.
  func untilClientLeaves<Output: Sendable>(
    _ body: @escaping @Sendable () async throws -> Output
  ) async throws -> Output {
    let work = Task(operation: body)
    return try await withRPCCancellationHandler {
      try await withTaskCancellationHandler {
        try await work.value
      } onCancel: {
        work.cancel()
      }
    } onCancelRPC: {
      work.cancel()
    }
  }
}
