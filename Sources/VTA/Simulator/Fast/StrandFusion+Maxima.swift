internal import CVTAKernels

/// Max pooling as a maximum of bytes.
extension StrandFusion {
  /// Max pooling: a constant, then the largest of inputs that an identity brought to accumulators, then bounds.
  mutating func maximumClass(
    _ history: [State], _ outputs: [Output], _ table: StateTable, _ strand: TaskPlanner.Strand,
    _ places: [Int: InputPlacement.Place]
  ) -> OutputClass? {
    var result = OutputClass(outputs, Epilogue(block: c.block))
    result.isMaximum = true
    var bounds = Epilogue.Fixed(block: c.block)
    var start: Int32 = 0
    var (hasInputs, hasUpperBound) = (false, false)
    var steps: Set<Int32> = []
    for state in history {
      switch state.origin {
      case .zero: break
      case .immediate(let step):
        guard case .aluImmediate(_, let chain) = planner.operations[strand.steps[Int(step)].operation] else {
          return nil
        }
        for immediate in chain {
          let isMin = immediate.operation == Int32(VTA_ALU_MIN.rawValue)
          guard isMin || immediate.operation == Int32(VTA_ALU_MAX.rawValue) else {
            guard immediate.operation == Int32(VTA_ALU_ADD.rawValue), !hasInputs else { return nil }
            start &+= immediate.value
            continue
          }
          if hasInputs {
            if isMin { hasUpperBound = true }
            bounds.clip(isMin ? VTA_ALU_MIN : VTA_ALU_MAX, immediate.value)
          } else {
            start = isMin ? min(start, immediate.value) : max(start, immediate.value)
          }
        }
      case .combined(let step, let operand):
        guard tensorOperation(strand, step) == VTA_ALU_MAX, !hasUpperBound, steps.insert(step).inserted,
          addInput(strand, step, table.list[Int(operand)], outputs, places, to: &result)
        else { return nil }
        if !hasInputs { bounds.clip(VTA_ALU_MAX, start) }
        hasInputs = true
      case .constant, .gemm, .tensor: return nil
      }
    }
    // Bounds beyond what inputs can be change nothing; a constant outside of int8 would be truncated.
    guard bounds.low <= 127, bounds.high >= -128 else { return nil }
    bounds.low = max(bounds.low, -128)
    bounds.high = min(bounds.high, 127)
    result.form.fixed = bounds
    return result
  }

  /// One input per output, the operand of MAX at `step`.
  private mutating func addInput(
    _ strand: TaskPlanner.Strand, _ step: Int32, _ operand: State, _ outputs: [Output],
    _ places: [Int: InputPlacement.Place], to result: inout OutputClass
  ) -> Bool {
    guard case .aluTensor(let list, _) = planner.operations[strand.steps[Int(step)].operation],
      case .gemm(let source, let index) = operand.origin, operand.previous == 0
    else { return false }
    let alu = planner.alus[list]
    var sources: [Int32: Int32] = [:]
    for (dst, src) in zip(alu.dst, alu.src) { sources[dst >> Int32(laneShift)] = src >> Int32(laneShift) }
    let moved = outputs.compactMap { output in
      sources[output.element].map { Output(element: $0, address: output.address) }
    }
    guard moved.count == outputs.count,
      add(strand.steps[Int(source)], Int(index), moved, places, to: &result),
      let tiles = result.terms.last?.tiles, tiles.count == 1, isIdentity(tiles[0])
    else { return false }
    return true
  }

  private func isIdentity(_ tile: Int32) -> Bool {
    guard tile >= 0,
      let bytes = try? planner.memory.bytes(at: planner.tiles[Int(tile)], count: c.elementBytes(.wgt))
    else { return false }
    var lanes = [Int8](repeating: 0, count: c.block * c.block)
    Scratchpads.unpack(UnsafeRawBufferPointer(bytes), bits: c.wgtBits, into: &lanes, at: 0)
    return lanes.enumerated().allSatisfy { $1 == ($0 / c.block == $0 % c.block ? 1 : 0) }
  }
}
