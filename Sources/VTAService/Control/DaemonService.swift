internal import GRPCCore
internal import Glibc
internal import SwiftProtobuf
internal import Synchronization
internal import VTA
internal import VTAModule
internal import VTARuntime

/// `vta.v1`: what has no place in the inference protocol.
struct DaemonService: Vta_V1_Daemon.ServiceProtocol, CallAnswering {
  let core: InferenceProtocol
  let connections: ConnectionRegistry
  let modelDirectory: String
  let bitstreams: BitstreamControl
  let started: ContinuousClock.Instant

  private var deviceControl: DeviceControl { DeviceControl(dispatcher: core.dispatcher, logger: core.logger) }

  func status(
    request: ServerRequest<Vta_V1_StatusRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_StatusResponse> {
    let counts = await core.models.counts()
    let isReady = await core.models.isReady
    return ServerResponse(
      message: .with {
        $0.version = Version.text
        $0.pid = UInt32(getpid())
        $0.uptimeSeconds = UInt64((ContinuousClock.now - started).components.seconds)
        $0.ready = isReady
        $0.devices = deviceControl.messages
        $0.modelsReady = UInt32(counts.ready)
        $0.modelsUnavailable = UInt32(counts.unavailable)
        $0.modelsPrivate = UInt32(counts.submitted)
        $0.connections = UInt32(connections.count)
        $0.inferences = core.counters.inferences.load(ordering: .relaxed)
        $0.modelDirectory = modelDirectory
      })
  }

  func listDevices(
    request: ServerRequest<Vta_V1_ListDevicesRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_ListDevicesResponse> {
    try await reply(to: request) { _, caller in
      try caller.require(.infer, to: "list devices")
      return .with { $0.devices = deviceControl.messages }
    }
  }

  func drain(
    request: ServerRequest<Vta_V1_DrainRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_DrainResponse> {
    try await reply(to: request) { message, caller in
      try await untilClientLeaves { [deviceControl] in try await deviceControl.drain(message, for: caller) }
    }
  }

  func undrain(
    request: ServerRequest<Vta_V1_UndrainRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_UndrainResponse> {
    try await reply(to: request, deviceControl.undrain)
  }

  func listBitstreams(
    request: ServerRequest<Vta_V1_ListBitstreamsRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_ListBitstreamsResponse> {
    try await reply(to: request) { _, caller in
      try caller.require(.infer, to: "list bitstreams")
      return try bitstreams.list()
    }
  }

  func programBitstream(
    request: ServerRequest<Vta_V1_ProgramBitstreamRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_ProgramBitstreamResponse> {
    try await reply(to: request) { message, caller in
      try caller.require(.administer, to: "program bitstreams")
      let device = try await bitstreams.program(message, for: caller)
      let counts = await core.models.counts()
      return .with {
        $0.device = deviceControl.message(of: device)
        $0.modelsReady = UInt32(counts.ready)
        $0.modelsUnavailable = UInt32(counts.unavailable)
      }
    }
  }

  func runModule(
    request: ServerRequest<Vta_V1_RunModuleRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_RunModuleResponse> {
    try await reply(to: request) { message, caller in
      try await untilClientLeaves { [core] in try await core.run(message, for: caller) }
    }
  }

  func runProgram(
    request: ServerRequest<Vta_V1_RunProgramRequest>, context: ServerContext
  ) async throws -> ServerResponse<Vta_V1_RunProgramResponse> {
    try await reply(to: request) { message, caller in
      try await untilClientLeaves { [core] in try await core.run(message, for: caller) }
    }
  }
}
