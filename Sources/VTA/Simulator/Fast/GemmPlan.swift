/// A GEMM instruction, rearranged: it only accumulates, so its steps may come in any order. Accumulators that receive the
/// same weights from inputs at equal distances are positions of one call; what they receive are its steps.
struct GemmPlan {
  struct Call {
    /// Offsets in tiles.
    var positions: [Position]
    var steps: [Step]
  }

  struct Position: Hashable {
    var acc: Int
    var inp: Int
  }

  struct Step: Hashable {
    /// Relative to the position.
    var inp: Int
    var wgt: Int
  }

  /// Of loops around all calls.
  struct Shift: Hashable {
    var acc = 0
    var inp = 0
    var wgt = 0
  }

  private(set) var calls: [Call]
  private(set) var shifts = [Shift()]

  /// Lists longer than this are not worth having.
  static let elementsMax = 1 << 20

  /// - Returns: `nil` if the lists would be too long.
  init?(_ microOps: ArraySlice<MicroOp>, _ gemm: Gemm) {
    calls = Self.calls(microOps)
    let l = gemm.loops
    for (extent, dst, src, wgt) in [
      (l.iterIn, l.dstFactorIn, l.srcFactorIn, gemm.wgtFactorIn),
      (l.iterOut, l.dstFactorOut, l.srcFactorOut, gemm.wgtFactorOut),
    ] where extent > 1 {
      let longest = calls.reduce(shifts.count) { max($0, $1.positions.count, $1.steps.count) }
      guard extent <= Self.elementsMax / longest else { return nil }
      if dst == 0 {
        for index in calls.indices {
          calls[index].steps = Self.repeated(calls[index].steps, extent) {
            Step(inp: $0.inp + $1 * src, wgt: $0.wgt + $1 * wgt)
          }
        }
      } else if wgt == 0 {
        for index in calls.indices {
          calls[index].positions = Self.repeated(calls[index].positions, extent) {
            Position(acc: $0.acc + $1 * dst, inp: $0.inp + $1 * src)
          }
        }
      } else {
        shifts = Self.repeated(shifts, extent) {
          Shift(acc: $0.acc + $1 * dst, inp: $0.inp + $1 * src, wgt: $0.wgt + $1 * wgt)
        }
      }
    }
    calls = calls.flatMap(Self.withDistinctAccumulators)
  }

  var elementCount: Int { calls.reduce(shifts.count) { $0 + $1.positions.count + $1.steps.count } }

  private static func repeated<T>(_ list: [T], _ extent: Int, _ moved: (T, Int) -> T) -> [T] {
    (0..<extent).flatMap { index in list.map { moved($0, index) } }
  }

  private static func calls(_ microOps: ArraySlice<MicroOp>) -> [Call] {
    var order: [Int] = []
    var sources: [Int: [MicroOp]] = [:]
    for microOp in microOps {
      if sources[microOp.dst] == nil { order.append(microOp.dst) }
      sources[microOp.dst, default: []].append(microOp)
    }
    var calls: [Call] = []
    var known: [[Step]: Int] = [:]
    for dst in order {
      guard let list = sources[dst], let first = list.first else { continue }
      let steps = list.map { Step(inp: $0.src - first.src, wgt: $0.wgt) }
      let position = Position(acc: dst, inp: first.src)
      if let index = known[steps] {
        calls[index].positions.append(position)
      } else {
        known[steps] = calls.count
        calls.append(Call(positions: [position], steps: steps))
      }
    }
    return calls
  }

  /// Kernels hold several positions in registers, so no two may be the same accumulator.
  private static func withDistinctAccumulators(_ call: Call) -> [Call] {
    if Set(call.positions.map(\.acc)).count == call.positions.count { return [call] }
    return call.positions.map { Call(positions: [$0], steps: call.steps) }
  }
}
