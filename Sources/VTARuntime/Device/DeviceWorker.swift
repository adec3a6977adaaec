private import Synchronization
package import VTA
package import VTAModule

/// A device and the one thread that drives it.
///
/// Names: `auto` (the board that is there, else the simulator), `uio:NAME`, `mem:ADDRESS`, `simulated-board:BOARD`, `sim`
/// (takes on each module's target), `sim:TARGET` or `sim:FILE.json` (fixed). Calls may come from any task; each waits its
/// turn in a bounded queue and then runs on the device's thread without interruption (a brief one on a simulator that is
/// idle: where it is called from); the host's first and last steps of
/// a run are taken where it is called from, while the device has another one. A cancelled task's run is not
/// started, or stops between two groups of samples.
package final class DeviceWorker: Sendable {
  private let thread: DeviceThread
  private let shared: SharedDescription
  /// Whether a run is nothing but computing, which any thread can do.
  private let isSimulator: Bool

  /// - Throws: ``DeviceError``: the name is unknown (the sentence lists what exists), or the device can't be opened.
  package static func open(
    _ name: String, _ options: DeviceOptions = DeviceOptions()
  ) throws(DeviceError) -> DeviceWorker {
    try DeviceWorker(DeviceName.resolve(name, options), options)
  }

  init(_ open: @escaping DeviceName.Open, _ options: DeviceOptions) throws(DeviceError) {
    let opened = Mutex<SharedDescription?>(nil)
    thread = try DeviceThread { () throws(DeviceError) in
      let device = try open()
      var description = device.description
      description.hasFallback = options.onFailure == .simulator && description.kind != .simulator
      let shared = SharedDescription(description)
      opened.withLock { $0 = shared }
      return Device(backend: device.backend, shared: shared, options: options)
    }
    // The thread has opened the device before it was given to us.
    guard let shared = opened.withLock({ $0 }) else { throw .closed }
    self.shared = shared
    isSimulator = shared.value.hardware == nil
  }

  deinit { thread.requestStop() }

  package var description: DeviceDescription { shared.value }

  /// Allocates regions, patches a private copy of each program and verifies it.
  /// - Throws: ``RuntimeError`` or ``DeviceError``.
  package func load(_ module: Module) async throws -> LoadedModel {
    let (identifier, byteCount, translation) = try await perform { device in
      let model = try device.load(module)
      let figures = model.programs.compactMap(\.translation).reduce(TranslatedProgram.Figures(), +)
      return (model.identifier, model.memoryByteCount, figures)
    }
    return LoadedModel(
      module: module, memoryByteCount: byteCount, translation: translation, identifier: identifier,
      worker: self)
  }

  /// Gives the model's device memory back. Runs that wait for it get ``RuntimeError/modelUnloaded(name:)``.
  package func unload(_ model: LoadedModel) async {
    let identifier = model.identifier
    // A closed device has no models any more.
    try? await perform { $0.unload(identifier) }
  }

  /// - Parameters:
  ///   - inputs: by name; the batch axis first with any N ≥ 1.
  ///   - deadline: from now, waiting included; `nil`: none. It is looked at before the start and between the programs of
  ///     a run; a program that runs is not stopped by it, but by a limit of its own.
  ///   - dumpTensors: fill in ``RunResult/deviceTensors``.
  ///   - wantsProfile: fill in ``RunResult/profile``.
  ///   - isBrief: the calling thread can wait for a run of this length.
  /// - Throws: ``RuntimeError``, ``DeviceError`` or `CancellationError`. Unfit inputs are refused before the device is
  ///   involved.
  package func run(
    _ model: LoadedModel, inputs: [String: Tensor], deadline: Duration? = nil, dumpTensors: Bool = false,
    wantsProfile: Bool = false, isBrief: Bool = false
  ) async throws -> RunResult {
    let prepared = try prepare(
      model, inputs: inputs, deadline: deadline, dumpTensors: dumpTensors, wantsProfile: wantsProfile)
    let submitted = ContinuousClock.now
    let body = { @Sendable (device: Device) throws -> (ModelRun, Duration) in
      let queued = ContinuousClock.now - submitted
      return (try device.run(prepared), queued)
    }
    var run: ModelRun
    let queued: Duration
    if isBrief, isSimulator, let done = try thread.runIfIdle(body) {
      (run, queued) = done
    } else {
      (run, queued) = try await withTaskCancellationHandler {
        try await perform(body)
      } onCancel: {
        prepared.request.cancellation.cancel()
      }
    }
    var result = run.result()
    result.timings.queue = queued
    result.device = shared.value.name
    return result
  }

  /// The part of a run that comes before its turn on the device.
  func prepare(
    _ model: LoadedModel, inputs: [String: Tensor], deadline: Duration? = nil, dumpTensors: Bool = false,
    wantsProfile: Bool = false
  ) throws(RuntimeError) -> ModelRun {
    let began = ContinuousClock.now
    let samples = try InputCheck.sampleCount(of: inputs, for: model.module)
    let request = RunRequest(
      model: model.identifier, name: model.module.name, inputs: inputs, samples: samples,
      deadline: deadline.map { began + $0 }, dumpTensors: dumpTensors, wantsProfile: wantsProfile,
      cancellation: Cancellation())
    var run = ModelRun(request: request, module: model.module, hostShapes: model.hostShapes)
    run.prepare()
    return run
  }

  /// Runs the programs of a model part by part, on whatever the last run left in memory.
  /// - Returns: by program; empty where the fast simulator is not used.
  package func taskTimes(of model: LoadedModel) async throws -> [[TaskTime]] {
    let identifier = model.identifier
    return try await perform { try $0.taskTimes(of: identifier) }
  }

  /// Verifies a program on its memory here, and runs it once.
  /// - Parameter deadline: as for a model.
  /// - Throws: ``RuntimeError``, ``DeviceError``.
  package func run(_ program: RawProgram, deadline: Duration?) async throws -> RawProgram.Result {
    let deadline = deadline.map { ContinuousClock.now + $0 }
    return try await perform { try $0.run(program, deadline: deadline) }
  }

  /// Configures the board's FPGA between two runs. Models for the accelerator that it then is are there as before.
  /// - Returns: what the accelerator is now.
  /// - Throws: ``DeviceError``; the accelerator is again what it was, or out of order.
  package func program(_ bitstream: Bitstream, as known: KnownBitstream) async throws -> DeviceDescription {
    try await perform { try $0.program(bitstream, as: known) }
    return description
  }

  /// Refuses what waits, lets the current run end and closes the device. Later calls get ``DeviceError/closed``.
  package func shutdown() async { await thread.stop() }

  /// Frees a model's memory without waiting.
  func forget(_ identifier: UInt64) {
    let job = DeviceThread.Job(run: { $0.unload(identifier) }, refuse: { _ in })
    _ = thread.submit(job, evenIfFull: true)
  }

  private func perform<Result: Sendable>(
    _ body: @escaping @Sendable (Device) throws -> Result
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      let job = DeviceThread.Job(
        run: { device in continuation.resume(with: Swift.Result { try body(device) }) },
        refuse: { continuation.resume(throwing: $0) })
      switch thread.submit(job) {
      case nil: break
      case .full: continuation.resume(throwing: RuntimeError.queueFull(limit: DeviceThread.queueLimit))
      case .closed: continuation.resume(throwing: DeviceError.closed)
      }
    }
  }
}

/// The description, written on the device's thread and read from anywhere.
final class SharedDescription: Sendable {
  private let storage: Mutex<DeviceDescription>

  init(_ description: DeviceDescription) { storage = Mutex(description) }

  var value: DeviceDescription { storage.withLock { $0 } }

  func setState(_ state: DeviceState) { update { $0.state = state } }

  func update(_ change: (inout DeviceDescription) -> Void) { storage.withLock { change(&$0) } }
}

/// Set once when the caller's task is cancelled.
final class Cancellation: Sendable {
  private let flag = Atomic(false)

  func cancel() { flag.store(true, ordering: .relaxed) }

  func check() throws(CancellationError) {
    if flag.load(ordering: .relaxed) { throw CancellationError() }
  }
}
