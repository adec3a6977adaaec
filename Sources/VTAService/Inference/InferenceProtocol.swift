internal import Logging
internal import SwiftProtobuf
internal import VTAModule
internal import VTARuntime

/// The Open Inference Protocol without a transport: a message and its caller in, a message out. gRPC and HTTP are two
/// ways to it.
struct InferenceProtocol: Sendable {
  /// Extensions of the protocol that are there, by Triton's names.
  static let extensions = [
    "classification", "model_configuration", "model_repository", "schedule_policy", "statistics",
    "system_shared_memory", "trace", "logging", "parameters",
  ]

  let models: ModelStore
  let dispatcher: Dispatcher
  let drain: Drain
  let counters: ServiceCounters
  let regions: SharedRegions
  let trace: TraceSettings
  let log: LogSettings
  let logger: Logger
  let live: LiveConfiguration

  /// New requests can be answered.
  var isReady: Bool {
    get async {
      await models.isReady && devices.contains { $0.isServing } && !drain.hasBegun && !dispatcher.isDrained
    }
  }

  /// What a client may be told that belongs to the device: nobody shall take the simulator for a board.
  var deviceKind: String { Set(devices.map(\.kind.rawValue)).sorted().joined(separator: "+") }

  var devices: [DeviceDescription] { dispatcher.devices.map(\.description) }

  func serverMetadata() -> Inference_ServerMetadataResponse {
    .with {
      $0.name = "vtad"
      $0.version = Version.text
      $0.extensions = Self.extensions + ["vta_device:\(deviceKind)"]
    }
  }

  func traceSetting(
    _ request: Inference_TraceSettingRequest, for caller: Caller
  ) async throws -> Inference_TraceSettingResponse {
    if !request.modelName.isEmpty {
      _ = try models.find(request.modelName, version: "", for: caller)
    }
    if !request.settings.isEmpty {
      try caller.require(.administer, to: "change trace settings")
      try trace.change(request.settings.mapValues(\.value), of: request.modelName)
    }
    return .with {
      $0.settings = trace.all(of: request.modelName).mapValues { value in .with { $0.value = value } }
    }
  }

  func logSettings(
    _ request: Inference_LogSettingsRequest, for caller: Caller
  ) throws(ServiceError) -> Inference_LogSettingsResponse {
    if !request.settings.isEmpty {
      try caller.require(.administer, to: "change log settings")
      try log.change(request.settings)
    }
    return .with { $0.settings = log.all }
  }
}

// Shared memory.
extension InferenceProtocol {
  func sharedMemoryStatus(
    _ request: Inference_SystemSharedMemoryStatusRequest, for caller: Caller
  ) throws(ServiceError) -> Inference_SystemSharedMemoryStatusResponse {
    let regions = try regions.list(request.name, for: caller)
    return .with { response in
      for region in regions {
        response.regions[region.name] = .with {
          $0.name = region.name
          $0.key = region.key
          $0.offset = region.offset
          $0.byteSize = region.byteCount
        }
      }
    }
  }

  func registerSharedMemory(
    _ request: Inference_SystemSharedMemoryRegisterRequest, for caller: Caller
  ) throws(ServiceError) -> Inference_SystemSharedMemoryRegisterResponse {
    try caller.require(.infer, to: "register shared memory")
    try regions.register(
      request.name, key: request.key, offset: request.offset, byteCount: request.byteSize, for: caller)
    return .init()
  }

  func unregisterSharedMemory(
    _ request: Inference_SystemSharedMemoryUnregisterRequest, for caller: Caller
  ) -> Inference_SystemSharedMemoryUnregisterResponse {
    regions.unregister(request.name, for: caller)
    return .init()
  }

  static let noCUDA = ServiceError(
    .unimplemented, "there is no CUDA shared memory here; use system shared memory")
}
