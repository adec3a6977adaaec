internal import Logging
internal import VTA
internal import VTAModule

/// A backend, the models on it and its state. Lives on the device's thread; everything here is synchronous.
final class Device {
  private let backend: any DeviceBackend
  private let shared: SharedDescription
  private let options: DeviceOptions
  private var models: [UInt64: ResidentModel] = [:]
  private var nextIdentifier: UInt64 = 1
  /// Without a good run in between.
  private var failures = 0
  private var fallback: SimulatorFallback?

  init(backend: any DeviceBackend, shared: SharedDescription, options: DeviceOptions) {
    self.backend = backend
    self.shared = shared
    self.options = options
  }

  /// - Throws: ``RuntimeError``, ``DeviceError``.
  func load(_ module: Module) throws -> ResidentModel {
    try load { try $0.load(module, identifier: $1) }
  }

  private func load(_ body: (ModelLoader, UInt64) throws -> ResidentModel) throws -> ResidentModel {
    do throws(DeviceError) {
      try makeReady()
    } catch {
      breakDown(error)
      throw error
    }
    let model = try body(ModelLoader(backend: backend), nextIdentifier)
    models[nextIdentifier] = model
    nextIdentifier += 1
    return model
  }

  func unload(_ identifier: UInt64) {
    fallback?.unload(identifier)
    guard let model = models.removeValue(forKey: identifier) else { return }
    backend.free(model.arena)
  }

  func taskTimes(of identifier: UInt64) throws -> [[TaskTime]] {
    guard let model = models[identifier] else { return [] }
    return try model.programs.map { try backend.taskTimes(of: $0.address) }
  }

  /// A run that the hardware fails is tried once more after a reset.
  /// - Returns: The run with what the device gave.
  /// - Throws: ``RuntimeError``, ``DeviceError``, `CancellationError`.
  func run(_ prepared: ModelRun) throws -> ModelRun {
    let request = prepared.request
    guard let model = models[request.model] else { throw RuntimeError.modelUnloaded(name: request.name) }
    // The FPGA may have been configured as another accelerator since the model was loaded.
    try backend.prepare(for: model.module.target)
    do {
      return try recovering {
        var run = prepared
        try run.run(model, on: backend)
        return run
      }
    } catch let problem as DeviceError where backend.hardware != nil && options.onFailure == .simulator {
      return try runOnSimulator(prepared, model.module, because: problem)
    }
  }

  /// - Throws: ``RuntimeError``, ``DeviceError``.
  func run(_ program: RawProgram, deadline: ContinuousClock.Instant?) throws -> RawProgram.Result {
    let model = try load { try $0.load(checked: program.module, identifier: $1) }
    defer { unload(model.identifier) }
    return try recovering { try program.run(model, on: backend, deadline: deadline) }
  }

  /// - Throws: ``DeviceError``. The accelerator is then what it was before, if that can be had again.
  func program(_ bitstream: Bitstream, as known: KnownBitstream) throws(DeviceError) {
    switch state {
    case .closed: throw .closed
    case .outOfService(let reason): throw .failed(reason: reason)
    case .ready, .recovering: break
    }
    guard backend.hardware != nil else {
      throw .bitstreamUnusable(reason: "\(shared.value.name) is a simulator, which has no FPGA")
    }
    do throws(DeviceError) {
      try backend.configure(bitstream, as: known)
      try restoreModels()
    } catch {
      breakDown(error)
      throw error
    }
    shared.update {
      $0.target = backend.fixedTarget
      $0.hardware = backend.hardware
    }
    if state != .ready { become(.ready) }
  }

  /// What fails in hardware is tried once more after a reset.
  private func recovering<Result>(_ body: () throws -> Result) throws -> Result {
    var problem = DeviceError.closed
    for _ in 1...2 {
      do {
        try makeReady()
        let result = try body()
        failures = 0
        return result
      } catch DeviceError.deadlineExceeded {
        throw RuntimeError.deadlineExceeded
      } catch let error as DeviceError where backend.hardware != nil {
        problem = error
        breakDown(error)
      }
    }
    throw problem
  }

  func close() {
    for identifier in models.keys { unload(identifier) }
    become(.closed)
  }

  // MARK: Failure and recovery

  private var state: DeviceState { shared.value.state }

  private func become(_ next: DeviceState) {
    precondition(state.canBecome(next), "a device does not go from \(state) to \(next)")
    shared.setState(next)
  }

  /// Recovers the device if that is needed.
  private func makeReady() throws(DeviceError) {
    switch state {
    case .ready: return
    case .outOfService(let reason): throw .failed(reason: reason)
    case .closed: throw .closed
    case .recovering: break
    }
    try backend.reset()
    try restoreModels()
    become(.ready)
    shared.update { $0.recoveries += 1 }
    options.logger.notice(
      "device recovered", metadata: ["device": "\(shared.value.name)", "models": "\(models.count)"])
  }

  /// The accelerator may have written anywhere in its memory before it was stopped.
  private func restoreModels() throws(DeviceError) {
    do {
      for model in models.values { try ModelLoader(backend: backend).restore(model) }
    } catch {
      throw (error as? DeviceError) ?? .failed(reason: "a model could not be restored: \(error)")
    }
  }

  private func breakDown(_ error: DeviceError) {
    // Refused before anything was tried.
    switch state {
    case .outOfService, .closed: return
    case .ready, .recovering: break
    }
    failures += 1
    shared.update {
      $0.faults += 1
      $0.lastFault = "\(error)"
    }
    let device = shared.value.name
    become(.recovering("\(error)"))
    if failures < DeviceState.failuresMax {
      options.logger.error(
        "device failed: \(error)", metadata: ["device": "\(device)", "failures": "\(failures)"])
    } else {
      become(.outOfService("\(error)"))
      options.logger.critical(
        "device out of service after \(failures) failures: \(error); repair it and restart vtad",
        metadata: ["device": "\(device)"])
    }
  }

  private func runOnSimulator(
    _ prepared: ModelRun, _ module: Module, because problem: DeviceError
  ) throws -> ModelRun {
    options.logger.warning(
      "answered by the simulator",
      metadata: ["model": "\(prepared.request.name)", "because": "\(problem)"])
    let simulator: SimulatorFallback
    if let fallback {
      simulator = fallback
    } else {
      simulator = try SimulatorFallback(options.simulator)
      fallback = simulator
    }
    var run = prepared
    try simulator.run(&run, module)
    run.fallback = "\(problem)"
    return run
  }
}

/// The simulator in place of an accelerator that failed.
private final class SimulatorFallback {
  private let backend: SimulatorBackend
  private var models: [UInt64: ResidentModel] = [:]

  init(_ options: SimulatorOptions) throws(DeviceError) {
    backend = try SimulatorBackend(target: nil, options)
  }

  func run(_ run: inout ModelRun, _ module: Module) throws {
    let identifier = run.request.model
    let model: ResidentModel
    if let loaded = models[identifier] {
      model = loaded
    } else {
      model = try ModelLoader(backend: backend).load(module, identifier: identifier)
      models[identifier] = model
    }
    do {
      try run.run(model, on: backend)
    } catch DeviceError.deadlineExceeded {
      throw RuntimeError.deadlineExceeded
    }
  }

  func unload(_ identifier: UInt64) {
    if let model = models.removeValue(forKey: identifier) { backend.free(model.arena) }
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
  let wantsProfile: Bool
  let cancellation: Cancellation
}
