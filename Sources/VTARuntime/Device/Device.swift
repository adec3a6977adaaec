internal import VTAModule

/// A backend, the models on it and its state. Lives on the device's thread; everything here is synchronous.
final class Device {
  private let backend: any DeviceBackend
  private let shared: SharedDescription
  private var models: [UInt64: ResidentModel] = [:]
  private var nextIdentifier: UInt64 = 1

  init(backend: any DeviceBackend, shared: SharedDescription) {
    self.backend = backend
    self.shared = shared
  }

  /// - Throws: ``RuntimeError``, ``DeviceError``.
  func load(_ module: Module) throws -> ResidentModel {
    try checkState()
    let model = try ModelLoader(backend: backend).load(module, identifier: nextIdentifier)
    models[nextIdentifier] = model
    nextIdentifier += 1
    return model
  }

  func unload(_ identifier: UInt64) {
    guard let model = models.removeValue(forKey: identifier) else { return }
    backend.free(model.arena)
  }

  /// - Throws: ``RuntimeError``, ``DeviceError``, `CancellationError`.
  func run(_ request: RunRequest) throws -> RunResult {
    try checkState()
    guard let model = models[request.model] else { throw RuntimeError.modelUnloaded(name: request.name) }
    do {
      return try ModelRun(request: request, model: model, backend: backend).result()
    } catch DeviceError.deadlineExceeded {
      reset()
      throw RuntimeError.deadlineExceeded
    } catch let error as DeviceError {
      reset()
      throw error
    }
  }

  func close() {
    for identifier in models.keys { unload(identifier) }
    shared.setState(.closed)
  }

  private func checkState() throws(DeviceError) {
    if case .failed(let reason) = shared.value.state { throw .failed(reason: reason) }
  }

  /// Nothing runs after a failure before the device is as after power-up.
  private func reset() {
    do {
      try backend.reset()
    } catch {
      shared.setState(.failed("\(error)"))
    }
  }
}

/// One call of ``DeviceWorker/run(_:inputs:deadline:dumpTensors:)``; the inputs are checked.
struct RunRequest: Sendable {
  let model: UInt64
  let name: String
  let inputs: [String: Tensor]
  /// Extent of every input's batch axis.
  let samples: Int
  let deadline: ContinuousClock.Instant?
  let dumpTensors: Bool
  let cancellation: Cancellation
}
