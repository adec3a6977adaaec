/// The four wires between a cable and a chain of devices. The first device is the one at TDI.
package final class JTAGWires {
  package enum Fault: Sendable {
    case tdoLow
    case tdoHigh
    /// Each n-th bit that comes back is wrong.
    case noise(every: Int)
  }

  let devices: [TAPModel]
  package var fault: Fault?
  private var tck = false
  private var bitsRead = 0
  /// Rising edges.
  package private(set) var clocks = 0

  init(_ devices: [TAPModel]) { self.devices = devices }

  package func set(tck: Bool, tms: Bool, tdi: Bool) {
    guard tck != self.tck else { return }
    self.tck = tck
    guard tck else { return devices.forEach { $0.fallingEdge() } }
    clocks += 1
    // All sample at once what was there before the edge.
    var input = tdi
    for device in devices {
      let output = device.tdo
      device.risingEdge(tms: tms, tdi: input)
      input = output
    }
  }

  package var tdo: Bool {
    switch fault {
    case .tdoLow: return false
    case .tdoHigh: return true
    case .noise(let every):
      bitsRead += 1
      let bit = devices.last?.tdo ?? true
      return bitsRead % every == 0 ? !bit : bit
    case nil: return devices.last?.tdo ?? true
    }
  }

  /// One clock from TCK low to TCK low.
  ///
  /// - Returns: TDO at the rising edge.
  package func pulse(tms: Bool, tdi: Bool) -> Bool {
    let out = tdo
    set(tck: true, tms: tms, tdi: tdi)
    set(tck: false, tms: tms, tdi: tdi)
    return out
  }

  /// Eight pulses with TMS low.
  package func shiftByte(_ tdi: UInt8) -> UInt8 {
    if fault == nil, !tck, !devices.isEmpty, devices.allSatisfy({ $0.state == .runTestIdle }) {
      idle(8)
      return 0xFF
    }
    guard fault == nil, !tck, !devices.isEmpty, devices.allSatisfy({ $0.state == .shiftDR }) else {
      var out: UInt8 = 0
      for bit in 0..<8 where pulse(tms: false, tdi: tdi >> bit & 1 == 1) { out |= 1 << bit }
      return out
    }
    clocks += 8
    return devices.reduce(tdi) { $1.shiftByte($0) }
  }

  /// Pulses with TMS low and TDI constant.
  package func idle(_ count: Int) {
    guard !tck, !devices.isEmpty, devices.allSatisfy({ $0.state == .runTestIdle }) else {
      for _ in 0..<count { _ = pulse(tms: false, tdi: false) }
      return
    }
    clocks += count
    devices.forEach { $0.idled(count) }
  }
}

extension JTAGWires {
  package var states: [TAPModel.State] { devices.map(\.state) }
}
