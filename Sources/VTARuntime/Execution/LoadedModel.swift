package import VTA
package import VTAModule

/// A model in device memory. Made by ``DeviceWorker/load(_:)``; gives its memory back when it is unloaded, at the latest
/// when nobody refers to it any more.
package final class LoadedModel: Sendable {
  package let module: Module
  /// Device memory of all regions and instruction streams.
  package let memoryByteCount: UInt64
  /// Of all programs that the fast simulator runs.
  package let translation: TranslatedProgram.Figures
  /// Of every tensor that host steps see, with the batch axis first.
  let hostShapes: [HostTensorName: [Int]]
  /// Names it on the thread of ``worker``.
  let identifier: UInt64
  let worker: DeviceWorker

  init(
    module: Module, memoryByteCount: UInt64, translation: TranslatedProgram.Figures, identifier: UInt64,
    worker: DeviceWorker
  ) {
    self.module = module
    hostShapes = module.hostShapes
    self.translation = translation
    self.memoryByteCount = memoryByteCount
    self.identifier = identifier
    self.worker = worker
  }

  package var device: DeviceDescription { worker.description }

  deinit { worker.forget(identifier) }
}
