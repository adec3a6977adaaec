internal import VTA
internal import VTAModule

/// What a device name means.
enum DeviceName {
  /// The description of the device and the backend behind it, to be made on the device's thread.
  struct Resolved: Sendable {
    let description: DeviceDescription
    let makeBackend: @Sendable () throws(DeviceError) -> sending any DeviceBackend
  }

  private static let configurationBytesMax = 1 << 20

  static func resolve(_ name: String, _ options: SimulatorOptions) throws(DeviceError) -> Resolved {
    switch name {
    case "auto":
      let note = "no board is supported yet, so auto is the simulator"
      return simulator(name: "sim", target: nil, note: note, options)
    case "sim":
      return simulator(name: name, target: nil, note: nil, options)
    default:
      guard name.hasPrefix("sim:") else { throw .unknownDevice(name: name) }
      let target = try target(named: String(name.dropFirst(4)), of: name)
      return simulator(name: name, target: target, note: nil, options)
    }
  }

  private static func target(named text: String, of device: String) throws(DeviceError) -> Target {
    if let target = Target.named(text) { return target }
    guard text.hasSuffix(".json") else {
      throw .unusableTarget(name: device, reason: "there is no target \(text.isEmpty ? "of no name" : text)")
    }
    do {
      return try Target(json: try File.read(text, limit: configurationBytesMax))
    } catch {
      throw .unusableTarget(name: device, reason: "\(text): \(error)")
    }
  }

  private static func simulator(
    name: String, target: Target?, note: String?, _ options: SimulatorOptions
  ) -> Resolved {
    Resolved(
      description: DeviceDescription(name: name, kind: .simulator, target: target, note: note),
      makeBackend: { () throws(DeviceError) in try SimulatorBackend(target: target, options) })
  }
}
