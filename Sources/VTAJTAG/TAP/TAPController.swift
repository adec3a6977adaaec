/// Moves the test access ports behind a cable, all at once, and knows the state that they are in.
package final class TAPController {
  package let cable: any JTAGCable
  /// `nil` until the first ``reset()``, and after an error.
  package private(set) var state: TAPState?

  package init(_ cable: any JTAGCable) { self.cable = cable }

  /// Test-Logic-Reset from whatever state: five clocks with TMS high.
  package func reset() throws(JTAGError) {
    state = nil
    try cable.clockTMS(BitString(repeating: true, count: 5))
    state = .testLogicReset
  }

  package func move(to target: TAPState) throws(JTAGError) {
    if state == nil { try reset() }
    guard let state, state != target else { return }
    self.state = nil
    try cable.clockTMS(state.path(to: target))
    self.state = target
  }

  /// Clocks in Run-Test/Idle.
  package func idle(_ clocks: Int) throws(JTAGError) {
    try move(to: .runTestIdle)
    try cable.idle(clocks)
  }

  /// Clocks in Run-Test/Idle for a time, at the cable's fastest.
  package func idle(_ duration: Duration) throws(JTAGError) {
    try idle(cable.timing.clocks(in: duration))
  }

  /// Shifts bits through the instruction registers.
  ///
  /// - Returns: what came out of the last device meanwhile.
  package func exchangeIR(_ bits: BitString) throws(JTAGError) -> BitString {
    try exchange(bits, in: .shiftIR, then: .runTestIdle)
  }

  package func exchangeDR(_ bits: BitString) throws(JTAGError) -> BitString {
    try exchange(bits, in: .shiftDR, then: .runTestIdle)
  }

  /// Shifts bits, and stays in the shift state.
  package func peekDR(_ bits: BitString) throws(JTAGError) -> BitString {
    try move(to: .shiftDR)
    return try guarded { () throws(JTAGError) in try cable.exchange(bits, leaves: false) }
  }

  private func exchange(
    _ bits: BitString, in shift: TAPState, then end: TAPState
  ) throws(JTAGError) -> BitString {
    try move(to: shift)
    let answer = try guarded { () throws(JTAGError) in try cable.exchange(bits, leaves: true) }
    state = shift.next(tms: true)
    try move(to: end)
    return answer
  }

  /// Shifts whole bytes into the data registers in one of several calls; the last ends the scan through Update-DR.
  ///
  /// - Parameter tail: bits after the last byte.
  package func streamDR(_ bytes: UnsafeRawBufferPointer, tail: BitString? = nil) throws(JTAGError) {
    if state != .shiftDR { try move(to: .shiftDR) }
    try guarded { () throws(JTAGError) in
      let isWhole = tail?.count == 0
      try cable.write(bytes, bitCount: 8 * bytes.count, leaves: isWhole)
      guard let tail, !isWhole else { return }
      _ = try tail.bytes.withUnsafeBytesTyped { (rest) throws(JTAGError) in
        try cable.write(rest, bitCount: tail.count, leaves: true)
      }
    }
    guard tail != nil else { return }
    state = .exit1DR
    try move(to: .runTestIdle)
  }

  /// Forgets the state if something fails on the way.
  private func guarded<Value>(_ body: () throws(JTAGError) -> Value) throws(JTAGError) -> Value {
    do {
      return try body()
    } catch {
      state = nil
      throw error
    }
  }
}

extension [UInt8] {
  /// `withUnsafeBytes` that keeps the error's type.
  func withUnsafeBytesTyped<Value>(
    _ body: (UnsafeRawBufferPointer) throws(JTAGError) -> Value
  ) throws(JTAGError) -> Value {
    let result: Result<Value, JTAGError> = withUnsafeBytes { bytes in
      do throws(JTAGError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
