internal import VTAModule
internal import VTARuntime

/// From a file to device memory, once per content: whoever loads the same bytes while somebody has them gets those.
actor ModelLoading {
  private let devices: [DeviceWorker]
  private let signatures: @Sendable () -> SignaturePolicy
  private var resident: [String: WeakModel] = [:]
  private var pending: [String: Task<ModelInstances, any Error>] = [:]

  private struct WeakModel {
    weak var model: ModelInstances?
  }

  /// - Parameter signatures: What is asked of each module.
  init(devices: [DeviceWorker], signatures: @escaping @Sendable () -> SignaturePolicy) {
    self.devices = devices
    self.signatures = signatures
  }

  nonisolated func load(file path: String) async throws -> ModelInstances {
    try await load(File.read(path, limit: ModuleReader.fileBytesMax))
  }

  /// Reading a file is long work: it isn't done on the actor.
  nonisolated func load(_ bytes: [UInt8]) async throws -> ModelInstances {
    try await load(read(bytes))
  }

  /// - Throws: `permissionDenied` for a module that nobody vouches for, if that is needed.
  nonisolated func read(_ bytes: [UInt8]) throws -> ModuleFile {
    let file = try ModuleReader.read(bytes)
    try signatures().check(bytes)
    return file
  }

  /// Whoever loads a model that somebody has gets a new one.
  func forgetAll() { resident = [:] }

  func load(_ file: ModuleFile) async throws -> ModelInstances {
    if let model = resident[file.digest]?.model { return model }
    if let task = pending[file.digest] { return try await task.value }
    let task = Task { [devices] in try await Self.load(file.module, on: devices) }
    pending[file.digest] = task
    defer { pending[file.digest] = nil }
    let model = try await task.value
    resident = resident.filter { $0.value.model != nil }
    resident[file.digest] = WeakModel(model: model)
    return model
  }

  /// On every device that takes it.
  /// - Throws: What the first device said, if none takes it.
  private static func load(_ module: Module, on devices: [DeviceWorker]) async throws -> ModelInstances {
    var byDevice: [Int: LoadedModel] = [:]
    var refusal: (any Error)?
    for (number, device) in devices.enumerated() {
      do {
        byDevice[number] = try await device.load(module)
      } catch {
        refusal = refusal ?? error
      }
    }
    if byDevice.isEmpty, let refusal { throw refusal }
    return ModelInstances(module: module, byDevice: byDevice)
  }
}
