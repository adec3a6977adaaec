internal import GRPCCore
internal import SwiftProtobuf

/// gRPC's own health check, as load balancers and orchestrators call it.
struct HealthService: Grpc_Health_V1_Health.SimpleServiceProtocol {
  typealias Status = Grpc_Health_V1_HealthCheckResponse.ServingStatus

  /// How soon ``watch(request:response:context:)`` tells of a change.
  static let interval = Duration.milliseconds(250)

  private let core: InferenceProtocol
  private let services: Set<String>

  /// - Parameter services: Full names of the gRPC services that are healthy as long as the daemon is.
  init(core: InferenceProtocol, services: [String]) {
    self.core = core
    self.services = Set(services)
  }

  func check(
    request: Grpc_Health_V1_HealthCheckRequest, context: ServerContext
  ) async throws -> Grpc_Health_V1_HealthCheckResponse {
    let status = await status(of: request.service)
    guard status != .serviceUnknown else {
      throw RPCError(
        code: .notFound,
        message: "there is no service '\(request.service.prefix(200))'; leave it empty to ask for the server")
    }
    return .with { $0.status = status }
  }

  func watch(
    request: Grpc_Health_V1_HealthCheckRequest, response: RPCWriter<Grpc_Health_V1_HealthCheckResponse>,
    context: ServerContext
  ) async throws {
    var told: Status?
    // gRPC cancels the call when the daemon begins to drain, too: that change is the last one told.
    repeat {
      let status = await status(of: request.service)
      if status != told { try await response.write(.with { $0.status = status }) }
      told = status
      try? await Task.sleep(for: Self.interval)
    } while !context.cancellation.isCancelled && !core.drain.hasBegun
    if core.drain.hasBegun { try await response.write(.with { $0.status = .notServing }) }
  }

  private func status(of service: String) async -> Status {
    guard service.isEmpty || services.contains(service) else { return .serviceUnknown }
    return await core.isReady ? .serving : .notServing
  }
}
