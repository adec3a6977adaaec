/// A ``GemmPlan`` with byte offsets and one position per batch row, as kernels want them.
struct GemmCalls {
  struct Call {
    /// Of each position.
    var inputs: [Int32]
    var accumulators: [Int32]
    var steps: [Step]
  }

  struct Step {
    /// In bytes.
    var inp: Int32
    var wgt: Int
  }

  /// acc and inp in bytes, wgt in tiles.
  typealias Shift = (acc: Int, inp: Int, wgt: Int)

  let calls: [Call]
  let shifts: [Shift]

  init(_ plan: GemmPlan, _ c: HardwareConfiguration) {
    let row = c.block
    let tile = c.batch * row
    calls = plan.calls.map { call in
      Call(
        inputs: call.positions.flatMap { position in
          (0..<c.batch).map { Int32(position.inp * tile + $0 * row) }
        },
        accumulators: call.positions.flatMap { position in
          (0..<c.batch).map { Int32((position.acc * tile + $0 * row) * 4) }
        },
        steps: call.steps.map { Step(inp: Int32($0.inp * tile), wgt: $0.wgt) })
    }
    shifts = plan.shifts.map { ($0.acc * tile * 4, $0.inp * tile, $0.wgt) }
  }
}
