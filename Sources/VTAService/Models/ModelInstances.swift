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

  /// On all devices together.
  var memoryByteCount: UInt64 { byDevice.values.reduce(0) { $0 + $1.memoryByteCount } }

  /// In the order of the devices.
  var devices: [DeviceDescription] { byDevice.sorted { $0.key < $1.key }.map(\.value.device) }
}
