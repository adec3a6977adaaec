internal import Foundation
internal import Logging
internal import SwiftProtobuf
internal import Synchronization
internal import VTAModule
internal import VTARuntime

extension InferenceProtocol {
  /// Asks for the next two in the answer; all in nanoseconds.
  static let timesParameter = "vta_times"
  /// What the request waited for a device.
  static let queueParameter = "vta_queue_ns"
  /// What it ran, host steps included.
  static let runParameter = "vta_run_ns"

  /// Answers one request. A cancelled task's run is not started, or stops between two groups of samples.
  func infer(
    _ request: InferenceRequest, for caller: Caller
  ) async throws -> InferenceResponse {
    counters.running.add(1, ordering: .relaxed)
    defer { counters.running.subtract(1, ordering: .relaxed) }
    let started = ContinuousClock.now
    var model: ServedModel?
    do {
      try caller.require(.infer, to: "run models")
      let found = try models.find(
        request.message.modelName, version: request.message.modelVersion, for: caller)
      model = found
      return try await answer(request, found, caller, since: started)
    } catch {
      let error = ServiceError(error)
      model?.record.failed(after: ContinuousClock.now - started)
      counters.count(
        ServiceCounters.Failure(
          time: Date().timeIntervalSince1970, kind: error.kind, model: model?.name ?? "",
          sentence: error.description))
      throw error
    }
  }

  private func answer(
    _ request: InferenceRequest, _ model: ServedModel, _ caller: Caller,
    since started: ContinuousClock.Instant
  ) async throws -> InferenceResponse {
    let parameters = RequestParameters(request.message.parameters, of: "the request")
    try parameters.refuse("sequence_id", feature: "sequences")
    let deadline = deadline(microseconds: try parameters.number("timeout"))
    let module = model.module
    let outputs = try InferenceOutputs(request.message.outputs, of: module, regions: regions, caller: caller)
    let inputs = try InferenceInputs.tensors(of: request, for: module, regions: regions, caller: caller)
    let decoded = ContinuousClock.now
    let samples = inputs.sampleCount
    let result = try await dispatcher.run(
      Dispatcher.Job(
        model: model.instances, inputs: inputs, user: caller.user,
        priority: try parameters.number("priority") ?? 0, deadline: deadline,
        cost: model.record.usualCompute(samples: samples)))
    let ran = ContinuousClock.now
    var response = InferenceResponse()
    response.message.modelName = model.name
    response.message.modelVersion = model.version
    response.message.id = request.message.id
    // Nobody shall take the simulator's answer for the board's.
    if let reason = result.fallback {
      response.message.parameters["vta_fallback"] = .with { $0.stringParam = reason }
    }
    if try parameters.flag(Self.timesParameter) {
      let run = result.timings.device + result.timings.host
      response.message.parameters[Self.queueParameter] = .with {
        $0.uint64Param = result.timings.queue.nanoseconds
      }
      response.message.parameters[Self.runParameter] = .with { $0.uint64Param = run.nanoseconds }
    }
    try outputs.fill(&response, from: result)
    let done = ContinuousClock.now
    let times = ModelRecord.Times(
      whole: done - started, queue: result.timings.queue, input: decoded - started,
      compute: result.timings.device + result.timings.host, output: done - ran)
    model.record.answered(
      times, samples: samples, at: UInt64(max(0, Date().timeIntervalSince1970 * 1000)))
    counters.inferences.add(1, ordering: .relaxed)
    if trace.isTraced(model.name) { log(times, of: request.message.id, model, caller) }
    return response
  }

  /// The request's own `timeout` in microseconds, at most what the configuration allows.
  func deadline(microseconds timeout: UInt64?) -> Duration? {
    guard let timeout, timeout > 0 else { return live.runDeadline }
    let own = Duration.microseconds(Int64(clamping: min(timeout, 1 << 50)))
    return live.runDeadline.map { min($0, own) } ?? own
  }

  private func log(
    _ times: ModelRecord.Times, of request: String, _ model: ServedModel, _ caller: Caller
  ) {
    let microseconds = { (duration: Duration) in "\(duration.nanoseconds / 1000)" }
    logger.notice(
      "trace",
      metadata: [
        "model": "\(model.name)", "version": "\(model.version)", "request": "\(request)",
        "caller": .stringConvertible(caller), "queue_us": "\(microseconds(times.queue))",
        "input_us": "\(microseconds(times.input))", "compute_us": "\(microseconds(times.compute))",
        "output_us": "\(microseconds(times.output))", "whole_us": "\(microseconds(times.whole))",
      ])
  }
}
