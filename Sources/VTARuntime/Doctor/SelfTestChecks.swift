internal import VTA

/// Registers, memory and a small matrix product, on each device.
extension Doctor {
  static func selfTest(_ context: Context) -> [Finding] {
    let options = context.options
    func skipped(_ reason: String) -> [Finding] { [Finding("self-test", .skipped, reason)] }
    if options.isCopy { return skipped("this is a copy of a board's files; nothing can be run") }
    if options.devices.isEmpty { return skipped("no device was named") }
    if let reason = options.deviceIsBusy { return skipped(reason) }
    if context.hasDeviceTree, options.deviceOptions.bitstream == nil {
      do {
        try context.fpga.checkAccess()
      } catch {
        return skipped("registers that nothing answers end the program, so nothing is tried: \(error)")
      }
    }
    return options.devices.map { test($0, context) }
  }

  /// Opening a board tries it, as the daemon does: a bitstream of its configuration is loaded. It is closed again at the end.
  private static func test(_ device: String, _ context: Context) -> Finding {
    let name = "self-test \(device)"
    if device == "sim" || device.hasPrefix("sim:") || device.hasPrefix("simulated-board:") {
      return Finding(name, .note, "\(device) is no hardware")
    }
    var options = context.options.deviceOptions
    options.requiresHardware = true
    options.kernel = context.kernel
    do {
      let description = try DeviceName.resolve(device, options)().description
      let target = description.target?.description ?? "any target"
      let means = description.hardware.map {
        ", through \($0.registers), with \($0.memory); memory is \($0.coherency.rawValue): \($0.coherencyReason)"
      }
      return Finding(name, .ok, "\(description.name) computes right as \(target)\(means ?? "")")
    } catch {
      return Finding(
        name, .failure, "\(error)",
        fix:
          "see the findings above; if there are none, check that the bitstream in the FPGA is the one that the target stands for"
      )
    }
  }
}
