internal import VTA
internal import VTAModule
internal import VTARuntime

/// A module on the devices that can run it. Lets go of all of them together.
final class ModelInstances: Sendable {
  let module: Module
  /// By the number of the device; never empty.
  let byDevice: [Int: LoadedModel]

  init(module: Module, byDevice: [Int: LoadedModel]) {
    self.module = module
    self.byDevice = byDevice
  }

  /// On one device alone.
  /// - Throws: ``ServiceError`` if that device did not take the module.
  func on(_ device: Int, named name: String) throws(ServiceError) -> ModelInstances {
    guard let model = byDevice[device] else {
      throw ServiceError(
        .failedPrecondition,
        "the device \(name) does not take this model, compiled for \(module.target.description); compile it for the device"
      )
    }
    return ModelInstances(module: module, byDevice: [device: model])
  }

  /// On all devices together.
  var memoryByteCount: UInt64 { byDevice.values.reduce(0) { $0 + $1.memoryByteCount } }

  /// In the order of the devices.
  var devices: [DeviceDescription] { byDevice.sorted { $0.key < $1.key }.map(\.value.device) }
}
