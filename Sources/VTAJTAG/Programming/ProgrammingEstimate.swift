/// How long a bitstream takes over a cable, from the cable's rate and frames: what the wires need at least. Gaps between USB
/// transfers come on top; no hardware was measured.
package struct ProgrammingEstimate: Equatable, Sendable {
  package let payloadBytes: Int
  /// Clocks of TCK for the payload and the waits.
  package let clocks: Int
  /// Bytes towards the cable for the payload.
  package let usbBytes: Int
  package let seconds: Double

  package init(family: DeviceModel.Family, payloadBytes: Int, timing: CableTiming) {
    let waits: Int =
      switch family {
      case .zynq7000, .zynqMP: XilinxConfiguration.clearClocks + XilinxConfiguration.startClocks
      case .cycloneV:
        timing.clocks(in: CycloneVConfiguration.prepareTime)
          + timing.clocks(in: CycloneVConfiguration.checkTime)
          + timing.clocks(in: CycloneVConfiguration.startTime) + CycloneVConfiguration.startClocks
          + timing.clocks(in: CycloneVConfiguration.finishTime)
      case .debugPort: 0
      }
    let frames = (payloadBytes + timing.framePayload - 1) / timing.framePayload
    self.payloadBytes = payloadBytes
    clocks = 8 * payloadBytes + waits
    usbBytes = payloadBytes + frames * (timing.frameBytes - timing.framePayload)
    seconds = max(
      Double(clocks) / Double(timing.clockHertz), Double(usbBytes) / Double(timing.usbBytesPerSecond))
  }
}
