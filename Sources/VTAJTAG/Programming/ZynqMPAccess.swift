/// Opens the FPGA's TAP and the debug port of a Zynq UltraScale+: after power-up only the processor's TAP answers, with the
/// device's IDCODE, and the place of the debug port is a bypass.
///
/// (Tools that read the chain in words of 32 bits see that bypass bit and the IDCODE, together, as codes like 0x28E20126 and
/// 0xFFFFFFFE: the IDCODE moved up by one bit.)
enum ZynqMPAccess {
  /// JTAG_CTRL, a register of 32 bits.
  private static let control: UInt64 = 0x824
  /// Bit 0: debug port, bit 1: FPGA.
  private static let enableBoth: UInt64 = 0x3
  private static let settleClocks = 100

  /// - Returns: the chain as it is then.
  static func reveal(
    _ tap: TAPController, _ chain: Chain, _ position: Int, _ model: DeviceModel
  ) throws(JTAGError) -> Chain {
    let device = try TargetDevice(tap, chain, position, model)
    try device.instruct(control)
    try device.exchange(BitString(enableBoth, count: 32))
    try tap.reset()
    try tap.idle(settleClocks)
    let revealed = try ChainScan(tap).run()
    guard revealed.devices.indices.contains(position), revealed.devices[position].model == model,
      !revealed.isHidden(position)
    else { throw .hidden(device: model.name) }
    return revealed
  }
}
