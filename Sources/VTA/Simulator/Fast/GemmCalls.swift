internal import CVTAKernels

/// A ``GemmPlan`` as kernels read it: byte offsets, one position per batch row; calls with equal inputs in pairs.
struct GemmCalls {
  struct Call {
    var positions: [vta_position]
    var steps: [vta_step]
    /// Bytes to the accumulators of the second call of a pair; 0: no pair.
    var pairAcc: Int32 = 0
  }

  /// acc and inp in bytes, wgt in tiles.
  typealias Shift = (acc: Int32, inp: Int32, wgt: Int32)

  private(set) var calls: [Call]
  private(set) var shifts: [Shift]
  /// No accumulator row comes twice in all calls and shifts: they may be computed at the same time.
  let isDisjoint: Bool
  /// Positions in all, and tile products in all.
  private(set) var rowCount = 0
  private(set) var productCount = 0

  init(_ plan: GemmPlan, _ c: HardwareConfiguration, pairs: Bool) {
    let (batch, block) = (c.batch, c.block)
    calls = plan.calls.map { call in
      Call(
        positions: call.positions.flatMap { position in
          (0..<batch).map { row in
            vta_position(
              acc: Int32((position.acc * batch + row) * block * 4),
              inp: Int32((position.inp * batch + row) * block))
          }
        },
        steps: call.steps.map {
          vta_step(inp: Int32($0.inp * batch * block), wgt: Int32($0.wgt), pair_wgt: 0)
        })
    }
    shifts = plan.shifts.map {
      (Int32($0.acc * batch * block * 4), Int32($0.inp * batch * block), Int32($0.wgt))
    }
    var rows: Set<Int32> = []
    var rowCount = 0
    for shift in shifts {
      for call in calls {
        rowCount += call.positions.count
        for position in call.positions { rows.insert(position.acc + shift.acc) }
      }
    }
    isDisjoint = rows.count == rowCount
    if pairs && isDisjoint && !pairShifts() { pairCalls() }
    self.rowCount = shifts.count * calls.reduce(0) { $0 + $1.positions.count }
    productCount =
      shifts.count
      * calls.reduce(0) { $0 + $1.positions.count * $1.steps.count * ($1.pairAcc == 0 ? 1 : 2) }
  }

  /// Every second shift joins the one before it, if all of these couples keep the inputs and move the rest equally.
  private mutating func pairShifts() -> Bool {
    guard shifts.count % 2 == 0 else { return false }
    let (acc, wgt) = (shifts[1].acc - shifts[0].acc, shifts[1].wgt - shifts[0].wgt)
    for index in stride(from: 0, to: shifts.count, by: 2) {
      let (first, second) = (shifts[index], shifts[index + 1])
      guard second.inp == first.inp, second.acc - first.acc == acc, second.wgt - first.wgt == wgt else {
        return false
      }
    }
    for index in calls.indices {
      calls[index].pairAcc = acc
      for step in calls[index].steps.indices {
        calls[index].steps[step].pair_wgt = calls[index].steps[step].wgt + wgt
      }
    }
    shifts = stride(from: 0, to: shifts.count, by: 2).map { shifts[$0] }
    return true
  }

  private struct Inputs: Hashable {
    let positions: [Int32]
    let steps: [Int32]
  }

  /// Calls that read the same inputs in the same order, at accumulators of a constant distance.
  private mutating func pairCalls() {
    var paired: [Call] = []
    var waiting: [Inputs: Int] = [:]
    for call in calls {
      let inputs = Inputs(positions: call.positions.map(\.inp), steps: call.steps.map(\.inp))
      guard let index = waiting[inputs], let distance = Self.distance(paired[index], call) else {
        waiting[inputs] = paired.count
        paired.append(call)
        continue
      }
      paired[index].pairAcc = distance
      for step in call.steps.indices { paired[index].steps[step].pair_wgt = call.steps[step].wgt }
      waiting[inputs] = nil
    }
    calls = paired
  }

  /// Between the accumulators of two calls with as many positions; `nil` if it varies.
  private static func distance(_ first: Call, _ second: Call) -> Int32? {
    guard let start = first.positions.first, let other = second.positions.first else { return nil }
    let distance = other.acc - start.acc
    let isConstant = zip(first.positions, second.positions).allSatisfy { $1.acc - $0.acc == distance }
    return isConstant ? distance : nil
  }
}
