internal import VTAModule
private import VTARuntime
private import VTASimulatedBoard

/// What a run gave, wherever it ran.
struct RunOutcome: Sendable {
  var outputs: [(name: String, tensor: Tensor)]
  /// Empty unless asked for.
  var deviceTensors: [(name: String, tensor: Tensor)]
  /// Why the simulator gave it instead of the device; `nil`: it did not.
  var fallback: String?
}

/// A model that is loaded somewhere and can be run there.
protocol ModelRunner: Sendable {
  /// The device's name.
  var device: String { get }
  /// `in-process`, or the daemon's socket.
  var place: String { get }
  /// What the user should know of the device; `nil` if there is nothing to say.
  var note: String? { get }
  func run(_ inputs: [String: Tensor], dumpTensors: Bool) async throws -> RunOutcome
  func profile(_ inputs: [String: Tensor]) async throws -> ProfileReport
}

/// Runs in this process, on a device opened for it.
struct LocalRunner: ModelRunner {
  private let worker: DeviceWorker
  private let model: LoadedModel

  /// - Parameter threads: of the simulator; 0: all cores.
  init(module: Module, device: String, path: String, threads: Int) async throws {
    var options = DeviceOptions(simulator: SimulatorOptions(threads: threads))
    options.simulatedBoard = { SimulatedBoard($0, .onRealTime) }
    do {
      worker = try DeviceWorker.open(device, options)
    } catch {
      throw Failure.usage("--device \(device)", "\(error)")
    }
    do { model = try await worker.load(module) } catch { throw Failure(path, error) }
  }

  var device: String { worker.description.name }
  var place: String { "in-process" }
  var note: String? { worker.description.note }

  func run(_ inputs: [String: Tensor], dumpTensors: Bool) async throws -> RunOutcome {
    let result = try await worker.run(model, inputs: inputs, dumpTensors: dumpTensors)
    let tensors = result.deviceTensors.sorted { $0.key < $1.key }.map { (name: $0.key, tensor: $0.value) }
    return RunOutcome(outputs: result.outputs, deviceTensors: tensors, fallback: result.fallback)
  }

  func profile(_ inputs: [String: Tensor]) async throws -> ProfileReport {
    let result = try await worker.run(model, inputs: inputs, wantsProfile: true)
    return ProfileReport(result.profile?.steps.map(ProfileReport.Step.init) ?? [])
  }
}
