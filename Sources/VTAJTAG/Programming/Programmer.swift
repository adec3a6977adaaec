/// Loads a bitstream into one device of a chain.
package struct Programmer {
  package struct Report: Equatable, Sendable {
    package let device: String
    package let bytes: Int
    /// What the device said afterwards, in a few words.
    package let status: String
    /// Whether the device confirmed that it is configured. `false`: where it would say so is not known.
    package let isConfirmed: Bool
  }

  private let device: TargetDevice
  private let image: ConfigurationImage
  /// What may go wrong and can't be excluded from here.
  package let warnings: [String]

  /// Prepares the device, checks that the image is for it, and asks what state it is in. Programs nothing yet.
  ///
  /// - Parameter position: of a device with a model.
  package init(
    _ tap: TAPController, _ chain: Chain, position: Int, image: ConfigurationImage
  ) throws(JTAGError) {
    guard let model = chain.devices[position].model, let idcode = chain.devices[position].idcode else {
      throw .unknownInstructionLength(devices: chain.summary)
    }
    try image.check(for: model, idcode: idcode)
    self.image = image
    var chain = chain
    if chain.isHidden(position) { chain = try ZynqMPAccess.reveal(tap, chain, position, model) }
    device = try TargetDevice(tap, chain, position, model)
    warnings = try Self.warnings(device)
  }

  private static func warnings(_ device: TargetDevice) throws(JTAGError) -> [String] {
    let advice = "stop vtad and every user of the FPGA first, or load the bitstream on the board itself"
    switch device.model.family {
    case .zynq7000, .zynqMP:
      let status = try XilinxConfiguration.status(device)
      // Linux can run all the same, but then nothing of it reaches into the FPGA.
      guard status.isDone else { return [] }
      return [
        "the FPGA is configured already, so a system may be running and using it; JTAG changes it behind the kernel's back (bridges, resets, port widths, fpga_manager's state): \(advice)"
      ]
    case .cycloneV:
      return [
        "whether Linux runs on the processor can't be told over JTAG; with its bridges to the FPGA enabled the processor can hang: \(advice)"
      ]
    case .debugPort: return []
    }
  }

  /// - Parameter advance: called with the bytes sent so far; what it throws ends the transfer, with the devices reset.
  package func run(advance: (Int) throws(JTAGError) -> Void) throws(JTAGError) -> Report {
    do throws(JTAGError) {
      switch device.model.family {
      case .zynq7000, .zynqMP:
        return try XilinxConfiguration(device: device).load(image, advance: advance)
      case .cycloneV: return try CycloneVConfiguration(device: device).load(image, advance: advance)
      case .debugPort: throw .wrongFormat(device: device.model.name, needs: "no bitstream")
      }
    } catch {
      // Whatever happened, the next user finds the devices in a known state, if the cable still works.
      try? device.tap.reset()
      try? device.tap.cable.flush()
      throw error
    }
  }
}
