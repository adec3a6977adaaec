internal import SwiftProtobuf
internal import VTA
internal import VTAModule
internal import VTARuntime

// What a client asks about models before it uses one.
extension InferenceProtocol {
  func modelReady(
    _ request: Inference_ModelReadyRequest, for caller: Caller
  ) async throws -> Inference_ModelReadyResponse {
    let isReady = models.isReady(request.name, version: request.version, for: caller)
    return .with { $0.ready = isReady }
  }

  func modelMetadata(
    _ request: Inference_ModelMetadataRequest, for caller: Caller
  ) async throws -> Inference_ModelMetadataResponse {
    let model = try models.find(request.name, version: request.version, for: caller)
    let module = model.module
    return .with {
      $0.name = model.name
      $0.versions = model.versions
      $0.platform = platform
      $0.inputs = module.inputs.map(Self.metadata)
      $0.outputs = module.outputs.map(Self.metadata)
    }
  }

  func modelConfig(
    _ request: Inference_ModelConfigRequest, for caller: Caller
  ) async throws -> Inference_ModelConfigResponse {
    let model = try models.find(request.name, version: request.version, for: caller)
    return .with { $0.config = configuration(of: model) }
  }

  func modelStatistics(
    _ request: Inference_ModelStatisticsRequest, for caller: Caller
  ) async throws -> Inference_ModelStatisticsResponse {
    let models =
      request.name.isEmpty
      ? await models.all(for: caller)
      : try await models.find(all: request.name, version: request.version, for: caller)
    return .with { $0.modelStats = models.map(Self.statistics) }
  }

  private var platform: String { "vta_vtab:\(deviceKind)" }

  private static func metadata(_ tensor: ModelTensor) -> Inference_ModelMetadataResponse.TensorMetadata {
    .with {
      $0.name = tensor.name
      $0.datatype = tensor.dataType.rawValue
      // Any number of samples.
      $0.shape = [-1] + tensor.shape.dropFirst().map(Int64.init)
    }
  }

  private func configuration(of model: ServedModel) -> Inference_ModelConfig {
    let module = model.module
    var config = Inference_ModelConfig()
    config.name = model.name
    config.platform = platform
    config.backend = "vta"
    config.maxBatchSize = Int32(InputCheck.samplesMax)
    config.input = module.inputs.map { tensor in
      .with {
        $0.name = tensor.name
        $0.dataType = Self.dataType(tensor.dataType)
        $0.format = tensor.shape.count == 4 ? .nchw : .none
        $0.dims = tensor.shape.dropFirst().map(Int64.init)
      }
    }
    config.output = module.outputs.map { tensor in
      .with {
        $0.name = tensor.name
        $0.dataType = Self.dataType(tensor.dataType)
        $0.dims = tensor.shape.dropFirst().map(Int64.init)
        $0.labelFilename = module.labels.isEmpty ? "" : "labels.txt"
      }
    }
    config.instanceGroup = model.instances.devices.map { device in
      .with {
        $0.name = device.name
        $0.count = 1
        $0.kind = .model
      }
    }
    config.defaultModelFilename = "model.vtab"
    config.parameters = [
      "target": .with { $0.stringValue = module.target.description },
      "producer": .with { $0.stringValue = module.producer },
      "device": .with { $0.stringValue = deviceKind },
    ]
    config.modelTransactionPolicy = .with { $0.decoupled = false }
    return config
  }

  private static func dataType(_ type: DataType) -> Inference_DataType {
    switch type {
    case .bool: .typeBool
    case .int8: .typeInt8
    case .int16: .typeInt16
    case .int32: .typeInt32
    case .int64: .typeInt64
    case .uint8: .typeUint8
    case .uint16: .typeUint16
    case .uint32: .typeUint32
    case .uint64: .typeUint64
    case .fp32: .typeFp32
    case .fp64: .typeFp64
    }
  }

  private static func statistics(of model: ServedModel) -> Inference_ModelStatistics {
    let values = model.record.values
    let cost = { (total: ModelRecord.Total) in
      Inference_StatisticDuration.with {
        $0.count = total.count
        $0.ns = total.nanoseconds
      }
    }
    return .with {
      $0.name = model.name
      $0.version = model.version
      $0.lastInference = values.lastMilliseconds
      $0.inferenceCount = values.samples
      $0.executionCount = values.success.count
      $0.inferenceStats = .with {
        $0.success = cost(values.success)
        $0.fail = cost(values.failure)
        $0.queue = cost(values.queue)
        $0.computeInput = cost(values.input)
        $0.computeInfer = cost(values.compute)
        $0.computeOutput = cost(values.output)
        $0.cacheHit = .init()
        $0.cacheMiss = .init()
      }
      $0.memoryUsage = [
        .with {
          $0.type = "DEVICE"
          $0.byteSize = model.instances.memoryByteCount
        }
      ]
    }
  }
}

// Loading and unloading.
extension InferenceProtocol {
  func repositoryIndex(
    _ request: Inference_RepositoryIndexRequest, for caller: Caller
  ) async throws -> Inference_RepositoryIndexResponse {
    try Self.checkRepository(request.repositoryName)
    let entries = await models.index(for: caller)
    return .with {
      $0.models = entries.filter { $0.isReady || !request.ready }.map { entry in
        .with {
          $0.name = entry.name
          $0.version = entry.version
          $0.state = entry.isReady ? "READY" : "UNAVAILABLE"
          $0.reason = entry.reason ?? ""
        }
      }
    }
  }

  func repositoryModelLoad(
    _ request: Inference_RepositoryModelLoadRequest, for caller: Caller
  ) async throws -> Inference_RepositoryModelLoadResponse {
    try Self.checkRepository(request.repositoryName)
    if let upload = try ModelUpload(request.parameters) {
      switch upload.audience {
      case .connection:
        try caller.require(.infer, to: "submit models")
        try await models.submit(upload.files, as: request.modelName, for: caller)
      case .everybody:
        try caller.require(.administer, to: "publish models")
        try await models.publish(upload.files, as: request.modelName, for: caller)
      }
    } else {
      try caller.require(.administer, to: "load models of the model folder")
      try await models.load(request.modelName, for: caller)
    }
    return .init()
  }

  func repositoryModelUnload(
    _ request: Inference_RepositoryModelUnloadRequest, for caller: Caller
  ) async throws -> Inference_RepositoryModelUnloadResponse {
    try Self.checkRepository(request.repositoryName)
    try await models.unload(request.modelName, for: caller)
    return .init()
  }

  private static func checkRepository(_ name: String) throws(ServiceError) {
    guard name.isEmpty else {
      throw ServiceError(
        .invalidArgument, "there is no repository \(name); vtad has one without a name, leave it out")
    }
  }
}
