/// The sixteen states of a test access port (IEEE 1149.1, figure 6-1).
package enum TAPState: CaseIterable, Sendable {
  case testLogicReset
  case runTestIdle
  case selectDR
  case captureDR
  case shiftDR
  case exit1DR
  case pauseDR
  case exit2DR
  case updateDR
  case selectIR
  case captureIR
  case shiftIR
  case exit1IR
  case pauseIR
  case exit2IR
  case updateIR

  /// The state after one clock.
  package func next(tms: Bool) -> TAPState {
    switch self {
    case .testLogicReset: tms ? .testLogicReset : .runTestIdle
    case .runTestIdle: tms ? .selectDR : .runTestIdle
    case .selectDR: tms ? .selectIR : .captureDR
    case .captureDR: tms ? .exit1DR : .shiftDR
    case .shiftDR: tms ? .exit1DR : .shiftDR
    case .exit1DR: tms ? .updateDR : .pauseDR
    case .pauseDR: tms ? .exit2DR : .pauseDR
    case .exit2DR: tms ? .updateDR : .shiftDR
    case .updateDR: tms ? .selectDR : .runTestIdle
    case .selectIR: tms ? .testLogicReset : .captureIR
    case .captureIR: tms ? .exit1IR : .shiftIR
    case .shiftIR: tms ? .exit1IR : .shiftIR
    case .exit1IR: tms ? .updateIR : .pauseIR
    case .pauseIR: tms ? .exit2IR : .pauseIR
    case .exit2IR: tms ? .updateIR : .shiftIR
    case .updateIR: tms ? .selectDR : .runTestIdle
    }
  }

  /// The shortest way to another state, as values of TMS.
  package func path(to target: TAPState) -> BitString {
    var paths: [(state: TAPState, tms: BitString)] = [(self, BitString())]
    var index = 0
    while index < paths.count {
      let (state, tms) = paths[index]
      if state == target { return tms }
      for bit in [false, true] {
        let next = state.next(tms: bit)
        if paths.contains(where: { $0.state == next }) { continue }
        var longer = tms
        longer.append(bit)
        paths.append((next, longer))
      }
      index += 1
    }
    preconditionFailure("every state is reached from every other")
  }
}
