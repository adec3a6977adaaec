internal import CVTAKernels

/// Max pooling of sums while they are in the accumulator, in two stages: the sums go as bytes to a place of the core's own, from
/// where maxima of bytes are taken.
extension StrandFusion {
  /// What an accumulator holds in the second stage: `max(min(largest tap, high), low)`.
  private struct Maximum {
    /// Accumulators of the first stage, as it leaves them.
    var taps: [Int32]
    var bounds: Epilogue.Fixed

    /// Taps are bytes.
    var hasUpperBound: Bool { bounds.high < 127 }
    static let tapsMax = 64
  }

  /// - Returns: `nil` if the strand does not end in maxima of values that are known to be bytes.
  mutating func fuseInStages(
    _ strand: TaskPlanner.Strand, _ places: [Int: InputPlacement.Place]
  ) -> [FusedCall]? {
    for end in stageEnds(strand) {
      if let calls = fuse(strand, places, firstStage: end) { return calls }
    }
    return nil
  }

  /// Where the first stage may end: before maxima behind which there are only others, bounds and stores. Earlier ones first.
  private func stageEnds(_ strand: TaskPlanner.Strand) -> [Int] {
    var result: [Int] = []
    for index in strand.steps.indices.reversed() {
      switch planner.operations[strand.steps[index].operation] {
      case .store: continue
      case .aluImmediate(_, let chain)
      where chain.allSatisfy({
        $0.operation == Int32(VTA_ALU_MIN.rawValue) || $0.operation == Int32(VTA_ALU_MAX.rawValue)
      }):
        continue
      case .aluTensor(_, let operation) where operation == Int32(VTA_ALU_MAX.rawValue):
        if result.last == index + 1 { result[result.count - 1] = index } else { result.append(index) }
      default: return result.suffix(3).reversed()
      }
    }
    return result.suffix(3).reversed()
  }

  private mutating func fuse(
    _ strand: TaskPlanner.Strand, _ places: [Int: InputPlacement.Place], firstStage end: Int
  ) -> [FusedCall]? {
    guard let (table, stored) = follow(strand, before: end), stored.isEmpty,
      let maxima = maxima(strand, from: end, table)
    else { return nil }
    let elements = Set(maxima.flatMap(\.value.taps)).sorted()
    var indices: [Int32: Int32] = [:]
    var outputs: [(state: Int32, outputs: [Output])] = []
    var classOfState: [Int32: Int] = [:]
    for (index, element) in elements.enumerated() {
      indices[element] = Int32(index)
      let state = states[Int(element)]
      let known = classOfState[state] ?? outputs.count
      if known == outputs.count {
        outputs.append((state, []))
        classOfState[state] = known
      }
      outputs[known].outputs.append(
        Output(element: element, address: UInt64(index * c.elementBytes(.out))))
    }
    guard let classes = classes(outputs, table, strand, places),
      classes.allSatisfy({ isByte($0.form) }), var first = calls(classes),
      var second = calls(maximumClasses(maxima, indices))
    else { return nil }
    for index in first.indices { first[index].call.storesStaged = true }
    for index in second.indices { second[index].call.readsStaged = true }
    return first + second
  }

  /// Whether results lie in int8's range before they are truncated.
  private func isByte(_ form: Epilogue.Form) -> Bool {
    if let fixed = form.fixed { return fixed.low >= -128 && max(fixed.low, fixed.high) <= 127 }
    var (low, high) = (Int32.min, Int32.max)
    for step in form.steps {
      switch (step.form, step.operation) {
      case (VTA_OTHER_BY_LANES, _), (VTA_OTHER_BY_SUM, _): continue
      case (VTA_SUM_BY_LANES, VTA_ALU_MIN):
        (low, high) = (min(low, step.lanes.min() ?? .min), min(high, step.lanes.max() ?? .max))
      case (VTA_SUM_BY_LANES, VTA_ALU_MAX):
        (low, high) = (max(low, step.lanes.min() ?? .min), max(high, step.lanes.max() ?? .max))
      default: (low, high) = (.min, .max)
      }
    }
    return low >= -128 && high <= 127
  }

  // MARK: The second stage

  private mutating func maxima(
    _ strand: TaskPlanner.Strand, from start: Int, _ table: StateTable
  ) -> [(value: Maximum, address: UInt64)]? {
    var values: [Int32: Maximum] = [:]
    var knownConstants: [Int32: Int32?] = [:]
    func value(_ element: Int32) -> Maximum {
      if let known = values[element] { return known }
      let state = states[Int(element)]
      let constant: Int32?
      if let known = knownConstants[state] {
        constant = known
      } else {
        constant = immediateConstant(state, strand, table)
        knownConstants[state] = .some(constant)
      }
      var result = Maximum(taps: constant == nil ? [element] : [], bounds: Epilogue.Fixed(block: c.block))
      if let constant { result.bounds.clip(VTA_ALU_MAX, constant) }
      return result
    }
    var result: [(value: Maximum, address: UInt64)] = []
    for step in strand.steps[start...] {
      // Constants from DRAM have no place here.
      guard step.constants.isEmpty else { return nil }
      switch planner.operations[step.operation] {
      case .aluTensor(let list, _):
        guard result.isEmpty else { return nil }
        for (dst, src) in zip(planner.alus[list].dst, planner.alus[list].src) where dst != src {
          let element = dst >> Int32(laneShift)
          var own = value(element)
          let other = value(src >> Int32(laneShift))
          if !other.taps.isEmpty {
            guard !own.hasUpperBound, !other.hasUpperBound else { return nil }
            for tap in other.taps where !own.taps.contains(tap) { own.taps.append(tap) }
            guard own.taps.count <= Maximum.tapsMax else { return nil }
          }
          own.bounds.clip(VTA_ALU_MAX, other.bounds.low)
          values[element] = own
        }
      case .aluImmediate(let list, let chain):
        guard result.isEmpty, planner.alus[list].isInPlace else { return nil }
        for dst in planner.alus[list].dst {
          let element = dst >> Int32(laneShift)
          var own = value(element)
          for immediate in chain {
            own.bounds.clip(vta_alu_op(rawValue: UInt32(immediate.operation)), immediate.value)
          }
          values[element] = own
        }
      case .store(let rows, let first):
        let size = c.elementBytes(.out)
        var element = Int32(first)
        for row in 0..<rows.count {
          for column in 0..<rows.rowBytes / size {
            var own = value(element)
            // Bounds beyond bytes change nothing; a constant beyond them would be truncated.
            guard !own.taps.isEmpty, own.bounds.low <= 127, own.bounds.high >= -128 else { return nil }
            own.bounds.low = max(own.bounds.low, -128)
            own.bounds.high = min(own.bounds.high, 127)
            result.append((own, rows.address + UInt64(row * rows.strideBytes + column * size)))
            element += 1
          }
        }
      default: return nil
      }
    }
    return result.isEmpty ? nil : result
  }

  /// What an accumulator holds that nothing but immediates has changed since it was reset.
  private func immediateConstant(
    _ state: Int32, _ strand: TaskPlanner.Strand, _ table: StateTable
  ) -> Int32? {
    var value: Int32 = 0
    for entry in table.history(of: state) {
      switch entry.state.origin {
      case .zero: value = 0
      case .immediate(let step):
        guard case .aluImmediate(_, let chain) = planner.operations[strand.steps[Int(step)].operation] else {
          return nil
        }
        for immediate in chain {
          switch vta_alu_op(rawValue: UInt32(immediate.operation)) {
          case VTA_ALU_ADD: value &+= immediate.value
          case VTA_ALU_MIN: value = min(value, immediate.value)
          case VTA_ALU_MAX: value = max(value, immediate.value)
          default: return nil
          }
        }
      case .constant, .gemm, .tensor, .combined: return nil
      }
    }
    return value
  }

  /// - Parameter indices: places of the first stage's results.
  private func maximumClasses(
    _ maxima: [(value: Maximum, address: UInt64)], _ indices: [Int32: Int32]
  ) -> [OutputClass] {
    var groups: [(bounds: Epilogue.Fixed, maxima: [(value: Maximum, address: UInt64)])] = []
    for next in maxima {
      let bounds = next.value.bounds
      if let known = groups.firstIndex(where: { $0.bounds == bounds }) {
        groups[known].maxima.append(next)
      } else {
        groups.append((bounds, [next]))
      }
    }
    return groups.map { bounds, maxima in
      var result = OutputClass(
        maxima.map { Output(element: 0, address: $0.address) }, Epilogue(block: c.block))
      result.isMaximum = true
      result.form.fixed = bounds
      // At borders there are fewer; one of them as often as it takes changes nothing.
      let count = maxima.reduce(0) { max($0, $1.value.taps.count) }
      result.terms = (0..<count).map { tap in
        OutputClass.Term(
          load: -1, stepInputs: 0, steps: [0], tiles: [],
          inputs: maxima.map { indices[$0.value.taps[min(tap, $0.value.taps.count - 1)]] ?? 0 })
      }
      return result
    }
  }
}
