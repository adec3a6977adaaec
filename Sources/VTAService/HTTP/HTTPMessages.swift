internal import Foundation

// What the protocol's messages look like in HTTP: every field is there, also one that is zero.

extension Inference_ServerMetadataResponse {
  var json: [String: Any] { ["name": name, "version": version, "extensions": extensions] }
}

extension Inference_ModelMetadataResponse {
  var json: [String: Any] {
    [
      "name": name, "versions": versions, "platform": platform, "inputs": inputs.map(\.json),
      "outputs": outputs.map(\.json),
    ]
  }
}

extension Inference_ModelMetadataResponse.TensorMetadata {
  fileprivate var json: [String: Any] {
    ["name": name, "datatype": datatype, "shape": shape.map { Int($0) }]
  }
}

extension Inference_ModelConfig {
  var json: [String: Any] {
    [
      "name": name, "platform": platform, "backend": backend, "max_batch_size": Int(maxBatchSize),
      "input": input.map {
        [
          "name": $0.name, "data_type": Self.name(of: $0.dataType),
          "format": $0.format == .nchw ? "FORMAT_NCHW" : "FORMAT_NONE", "dims": $0.dims.map { Int($0) },
        ] as [String: Any]
      },
      "output": output.map {
        [
          "name": $0.name, "data_type": Self.name(of: $0.dataType), "dims": $0.dims.map { Int($0) },
          "label_filename": $0.labelFilename,
        ] as [String: Any]
      },
      "instance_group": instanceGroup.map {
        ["name": $0.name, "count": Int($0.count), "kind": "KIND_MODEL"] as [String: Any]
      },
      "default_model_filename": defaultModelFilename,
      "parameters": parameters.mapValues { ["string_value": $0.stringValue] },
      "model_transaction_policy": ["decoupled": modelTransactionPolicy.decoupled],
    ]
  }

  private static func name(of type: Inference_DataType) -> String {
    switch type {
    case .typeBool: "TYPE_BOOL"
    case .typeInt8: "TYPE_INT8"
    case .typeInt16: "TYPE_INT16"
    case .typeInt32: "TYPE_INT32"
    case .typeInt64: "TYPE_INT64"
    case .typeUint8: "TYPE_UINT8"
    case .typeUint16: "TYPE_UINT16"
    case .typeUint32: "TYPE_UINT32"
    case .typeUint64: "TYPE_UINT64"
    case .typeFp32: "TYPE_FP32"
    case .typeFp64: "TYPE_FP64"
    default: "TYPE_INVALID"
    }
  }
}

extension Inference_ModelStatisticsResponse {
  var json: [String: Any] { ["model_stats": modelStats.map(\.json)] }
}

extension Inference_ModelStatistics {
  fileprivate var json: [String: Any] {
    [
      "name": name, "version": version, "last_inference": lastInference, "inference_count": inferenceCount,
      "execution_count": executionCount,
      "inference_stats": [
        "success": inferenceStats.success.json, "fail": inferenceStats.fail.json,
        "queue": inferenceStats.queue.json, "compute_input": inferenceStats.computeInput.json,
        "compute_infer": inferenceStats.computeInfer.json,
        "compute_output": inferenceStats.computeOutput.json,
        "cache_hit": inferenceStats.cacheHit.json, "cache_miss": inferenceStats.cacheMiss.json,
      ],
      "batch_stats": [Any](), "response_stats": [String: Any](),
      "memory_usage": memoryUsage.map {
        ["type": $0.type, "id": $0.id, "byte_size": $0.byteSize] as [String: Any]
      },
    ]
  }
}

extension Inference_StatisticDuration {
  fileprivate var json: [String: Any] { ["count": count, "ns": ns] }
}

extension Inference_RepositoryIndexResponse {
  var json: [[String: Any]] {
    models.map { ["name": $0.name, "version": $0.version, "state": $0.state, "reason": $0.reason] }
  }
}

extension Inference_SystemSharedMemoryStatusResponse {
  var json: [[String: Any]] {
    regions.values.sorted { $0.name < $1.name }.map {
      ["name": $0.name, "key": $0.key, "offset": $0.offset, "byte_size": $0.byteSize]
    }
  }
}

extension Inference_TraceSettingResponse {
  var json: [String: Any] {
    // Only the level may have several values.
    Dictionary(
      uniqueKeysWithValues: settings.map { name, setting in
        (name, name == "trace_level" ? setting.value as Any : (setting.value.first ?? "") as Any)
      })
  }
}

extension Inference_LogSettingsResponse {
  var json: [String: Any] {
    settings.mapValues { setting -> Any in
      switch setting.parameterChoice {
      case .boolParam(let value)?: value
      case .uint32Param(let value)?: value
      case .stringParam(let value)?: value
      case nil: NSNull()
      }
    }
  }
}
