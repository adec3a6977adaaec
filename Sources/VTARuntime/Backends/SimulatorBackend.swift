internal import VTA

/// The simulator as a device.
final class SimulatorBackend: DeviceBackend {
  let fixedTarget: Target?

  init(target: Target?) throws(DeviceError) { fixedTarget = target }

  func prepare(for target: Target) throws(DeviceError) {
    if let fixedTarget, fixedTarget.configuration != target.configuration || fixedTarget.profile != target.profile {
      throw .wrongTarget(device: fixedTarget, module: target)
    }
  }
  func allocate(byteCount: UInt64) throws(DeviceError) -> DeviceAddress { throw .closed }
  func free(_ address: DeviceAddress) {}
  func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError) { throw .closed }
  func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8] { throw .closed }
  func run(
    instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
  ) throws(DeviceError) { throw .closed }
  func reset() throws(DeviceError) {}
}
