internal import VTAModule
internal import VTARuntime

/// From a file to device memory, once per content: whoever loads the same bytes while somebody has them gets those.
actor ModelLoading {
  private let device: DeviceWorker
  private var resident: [String: WeakModel] = [:]
  private var pending: [String: Task<LoadedModel, any Error>] = [:]

  private struct WeakModel {
    weak var model: LoadedModel?
  }

  init(device: DeviceWorker) {
    self.device = device
  }

  nonisolated func load(file path: String) async throws -> LoadedModel {
    try await load(File.read(path, limit: ModuleReader.fileBytesMax))
  }

  /// Reading a file is long work: it isn't done on the actor.
  nonisolated func load(_ bytes: [UInt8]) async throws -> LoadedModel {
    let file = try ModuleReader.read(bytes)
    return try await load(file)
  }

  func load(_ file: ModuleFile) async throws -> LoadedModel {
    if let model = resident[file.digest]?.model { return model }
    if let task = pending[file.digest] { return try await task.value }
    let task = Task { try await device.load(file.module) }
    pending[file.digest] = task
    defer { pending[file.digest] = nil }
    let model = try await task.value
    resident = resident.filter { $0.value.model != nil }
    resident[file.digest] = WeakModel(model: model)
    return model
  }
}
