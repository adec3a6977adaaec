internal import Foundation
internal import SwiftProtobuf
internal import Synchronization
internal import VTA
internal import VTAModule
internal import VTARuntime

// Runs of `vta.v1`: modules and programs that a call brings along, and profiles.
extension InferenceProtocol {
  func run(
    _ request: Vta_V1_RunModuleRequest, for caller: Caller
  ) async throws -> Vta_V1_RunModuleResponse {
    try caller.require(.infer, to: "run models")
    return try await counted(request.model) {
      switch request.source {
      case .model(let name):
        try await run(request, try models.find(name, version: request.version, for: caller), caller)
      case .module(let bytes):
        try await models.withModel([UInt8](bytes), for: caller) { try await run(request, $0, caller) }
      case nil:
        throw ServiceError(.invalidArgument, "the request has no model; name one, or send a .vtab as module")
      }
    }
  }

  func run(
    _ request: Vta_V1_RunProgramRequest, for caller: Caller
  ) async throws -> Vta_V1_RunProgramResponse {
    try caller.require(.infer, to: "run programs")
    guard !live.signatures.isRequired else {
      throw ServiceError(
        .permissionDenied,
        "the daemon runs signed modules alone (modules.require_signature), and a program has no signature")
    }
    return try await counted("") { try await runVerified(request, caller) }
  }

  // Apart from the above, and not inlined: the compiler of Swift 6.3 crashes over the whole of it.
  @inline(never)
  private func runVerified(
    _ request: Vta_V1_RunProgramRequest, _ caller: Caller
  ) async throws -> Vta_V1_RunProgramResponse {
    let program = try Self.program(request)
    return try await models.withQuota(of: program.memoryByteCount, for: caller) {
      try await run(program, request, caller)
    }
  }

  /// As ``infer(_:for:)`` counts.
  private func counted<Answer>(_ model: String, _ body: () async throws -> Answer) async throws -> Answer {
    counters.running.add(1, ordering: .relaxed)
    defer { counters.running.subtract(1, ordering: .relaxed) }
    do {
      let answer = try await body()
      counters.inferences.add(1, ordering: .relaxed)
      return answer
    } catch {
      let error = ServiceError(error)
      counters.count(
        ServiceCounters.Failure(
          time: Date().timeIntervalSince1970, kind: error.kind, model: model, sentence: error.description))
      throw error
    }
  }

  // MARK: Modules

  private func run(
    _ request: Vta_V1_RunModuleRequest, _ model: ServedModel, _ caller: Caller
  ) async throws -> Vta_V1_RunModuleResponse {
    var instances = model.instances
    if !request.device.isEmpty {
      let numbers = try dispatcher.numbers(named: request.device)
      let number = numbers.first { instances.byDevice[$0] != nil } ?? numbers.first ?? 0
      instances = try instances.on(number, named: request.device)
    }
    let inputs = try InferenceInputs.tensors(
      of: Self.inferRequest(request.inputs), for: model.module, regions: regions, caller: caller)
    let result = try await dispatcher.run(
      Dispatcher.Job(
        model: instances, inputs: inputs, user: caller.user,
        deadline: deadline(microseconds: request.timeoutUs),
        cost: model.record.usualCompute(samples: inputs.sampleCount), wantsProfile: request.profile))
    return .with {
      $0.outputs = result.outputs.map(Self.message)
      $0.device = result.device
      $0.fallback = result.fallback ?? ""
      $0.queueNs = result.timings.queue.nanoseconds
      $0.deviceNs = result.timings.device.nanoseconds
      $0.hostNs = result.timings.host.nanoseconds
      $0.steps = (result.profile?.steps ?? []).map(Self.message)
    }
  }

  /// The inputs as a request of the inference protocol, whose checks they go through.
  private static func inferRequest(_ inputs: [Vta_V1_Tensor]) -> InferenceRequest {
    let message = Inference_ModelInferRequest.with {
      $0.inputs = inputs.map { tensor in
        .with {
          $0.name = tensor.name
          $0.datatype = tensor.datatype
          $0.shape = tensor.shape
        }
      }
    }
    return InferenceRequest(message, rawContents: inputs.map { .data($0.contents) })
  }

  private static func message(name: String, tensor: Tensor) -> Vta_V1_Tensor {
    .with {
      $0.name = name
      $0.datatype = tensor.dataType.rawValue
      $0.shape = tensor.shape.map(Int64.init)
      $0.contents = Data(tensor.bytes)
    }
  }

  private static func message(_ step: RunProfile.Step) -> Vta_V1_StepProfile {
    .with {
      $0.name = step.name
      $0.place = step.isOnDevice ? "device" : "host"
      $0.count = UInt32(clamping: step.count)
      $0.ns = step.duration.nanoseconds
      $0.layers = step.layers.map { layer in
        .with {
          $0.name = layer.name
          $0.op = layer.op
          $0.instructions = UInt64(clamping: layer.instructions)
          $0.gemmSteps = UInt64(clamping: layer.gemmSteps)
          $0.aluSteps = UInt64(clamping: layer.aluSteps)
          $0.dramBytes = UInt64(clamping: layer.dramBytes)
          if let duration = layer.duration { $0.ns = duration.nanoseconds }
        }
      }
    }
  }

  // MARK: Programs

  private static let buffersMax = 4096

  @inline(never)
  private func run(
    _ program: RawProgram, _ request: Vta_V1_RunProgramRequest, _ caller: Caller
  ) async throws -> Vta_V1_RunProgramResponse {
    let turn = Dispatcher.Turn(
      devices: try dispatcher.numbers(named: request.device).sorted(), user: caller.user,
      deadline: deadline(microseconds: request.timeoutUs), cost: .milliseconds(1),
      bytes: request.buffers.reduce(request.instructions.count) { $0 + $1.contents.count })
    let (number, waited, result) = try await dispatcher.take(turn) { number, deadline, waited in
      (number, waited, try await dispatcher.devices[number].run(program, deadline: deadline))
    }
    return .with {
      $0.buffers = result.buffers.map { buffer in
        .with {
          $0.name = buffer.name
          $0.contents = Data(buffer.contents)
        }
      }
      $0.device = dispatcher.devices[number].description.name
      $0.instructions = UInt64(clamping: result.instructions)
      $0.queueNs = waited.nanoseconds
      $0.deviceNs = result.duration.nanoseconds
    }
  }

  private static func program(_ request: Vta_V1_RunProgramRequest) throws -> RawProgram {
    guard request.buffers.count <= buffersMax else {
      throw ServiceError(
        .invalidArgument, "\(request.buffers.count) buffers are more than the \(buffersMax) that are allowed")
    }
    return try RawProgram(
      target: try target(of: request),
      buffers: try request.buffers.map(buffer), instructions: [UInt8](request.instructions),
      relocations: request.relocations.map {
        Relocation(instruction: Int($0.instruction), region: Int($0.buffer), byteOffset: $0.byteOffset)
      })
  }

  private static func buffer(_ message: Vta_V1_Buffer) throws(ServiceError) -> RawProgram.Buffer {
    let role: RawProgram.Buffer.Role =
      switch message.role {
      case .workspace: .workspace
      case .constant: .constant
      case .microOps: .microOps
      case .UNRECOGNIZED(let number):
        throw ServiceError(
          .invalidArgument,
          "the buffer \(message.name.prefix(200)) has the unknown role \(number); use WORKSPACE, CONSTANT or MICRO_OPS"
        )
      }
    return RawProgram.Buffer(
      name: message.name, role: role, contents: [UInt8](message.contents),
      byteCount: message.byteSize == 0 ? UInt64(message.contents.count) : message.byteSize,
      isReturned: message.returned)
  }

  private static func target(of request: Vta_V1_RunProgramRequest) throws(ServiceError) -> Target {
    if !request.target.isEmpty {
      guard request.profile.isEmpty, request.configuration.isEmpty else {
        throw ServiceError(
          .invalidArgument, "a target has a profile and a configuration; leave these two out, or the target")
      }
      guard let target = Target.named(request.target) else {
        let known = Target.named.map(\.name).joined(separator: ", ")
        throw ServiceError(
          .invalidArgument, "there is no target '\(request.target.prefix(200))'; the targets are \(known)")
      }
      return target
    }
    guard let profile = HardwareProfile.named(request.profile) else {
      let known = HardwareProfile.all.map(\.name).joined(separator: ", ")
      throw ServiceError(
        .invalidArgument,
        "there is no profile '\(request.profile.prefix(200))'; name a target, or a profile of \(known)")
    }
    do {
      return try Target(
        name: profile.name, configuration: HardwareConfiguration(name: request.configuration),
        profile: profile)
    } catch {
      throw ServiceError(.invalidArgument, "the program's target: \(error)")
    }
  }
}
