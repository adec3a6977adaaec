internal import CVTAKernels

/// Classes of outputs as calls of kernels.
extension StrandFusion {
  /// A class with its lists in place.
  private struct Prepared {
    let own: OutputClass
    /// Of each term, in bytes: of the first position, and of all positions relative to it.
    let starts: [Int]
    let positions: [UnsafePointer<Int32>?]
    let results: UnsafePointer<Int32>?

    /// Equal for classes that can be the two of a pair.
    struct Key: Hashable {
      let loads: [Int32]
      let starts: [Int]
      let positions: [UnsafePointer<Int32>?]
      let stepInputs: [Int]
      let results: UnsafePointer<Int32>?
      let high: Int32
      let low: Int32
      let steps: [UInt32]
      let earlyTerms: Int
    }
    var key: Key {
      Key(
        loads: own.terms.map(\.load), starts: starts, positions: positions,
        stepInputs: own.terms.map(\.stepInputs), results: results, high: own.form.fixed?.high ?? 0,
        low: own.form.fixed?.low ?? 0,
        steps: (own.form.steps + own.early).flatMap { [$0.operation.rawValue, $0.form.rawValue] },
        earlyTerms: own.earlyTerms)
    }
  }

  /// Two classes that read the same inputs become one call.
  mutating func calls(_ classes: [OutputClass]) -> [FusedCall]? {
    var list: [(first: Prepared, second: Prepared?)] = []
    var single: [Prepared.Key: Int] = [:]
    for next in classes {
      guard let next = prepared(next) else { return nil }
      let key = next.key
      if !next.own.isMaximum, let index = single.removeValue(forKey: key),
        list[index].first.own.addresses.first != next.own.addresses.first
      {
        list[index].second = next
      } else {
        single[key] = list.count
        list.append((next, nil))
      }
    }
    var result: [FusedCall] = []
    for (first, second) in list {
      guard let call = call(first, second) else { return nil }
      result.append(call)
    }
    return result
  }

  private func prepared(_ own: OutputClass) -> Prepared? {
    guard let start = own.addresses.first else { return nil }
    let (tile, row) = (c.batch * c.block, c.block)
    var results: [Int32] = []
    results.reserveCapacity(own.addresses.count * c.batch)
    for address in own.addresses {
      guard let offset = Int32(exactly: Int64(address) - Int64(start)) else { return nil }
      for batch in 0..<c.batch { results.append(offset &+ Int32(batch * row)) }
    }
    return Prepared(
      own: own, starts: own.terms.map { Int($0.inputs[0]) * tile },
      positions: own.terms.map { term in
        pools.add(
          term.inputs.flatMap { input in
            (0..<c.batch).map { (input - term.inputs[0]) * Int32(tile) + Int32($0 * row) }
          })
      }, results: pools.add(results))
  }

  private mutating func call(_ first: Prepared, _ second: Prepared?) -> FusedCall? {
    let (own, pair) = (first.own, second?.own)
    guard let start = own.addresses.first, let low = own.addresses.min(), let high = own.addresses.max()
    else {
      return nil
    }
    var segments: [vta_segment] = []
    var corrections = [Int32](repeating: 0, count: pair == nil ? c.block : 2 * c.block)
    var lateCorrections = corrections
    var earlySegments = 0
    var products = 0
    for (index, term) in own.terms.enumerated() {
      products += term.tiles.count
      if own.isMaximum {
        segments.append(
          vta_segment(
            runs: nil, run_count: 0, positions: first.positions[index],
            inp: first.starts[index] + term.steps[0] * c.batch * c.block))
        continue
      }
      let runs = runs(term.steps, term.stepInputs, term.tiles, pair.map { $0.terms[index].tiles })
      if own.early.isEmpty || index < own.earlyTerms {
        for lane in corrections.indices { corrections[lane] &+= runs.corrections[lane] }
        if runs.count > 0 { earlySegments += 1 }
      } else {
        for lane in corrections.indices { lateCorrections[lane] &+= runs.corrections[lane] }
      }
      if runs.count > 0 {
        segments.append(
          vta_segment(
            runs: runs.list, run_count: runs.count, positions: first.positions[index],
            inp: first.starts[index]))
      }
    }
    let (sums, sumsOfOutput) = startingSums(own, pair, corrections)
    let distance = pair?.addresses.first.map { Int64($0) - Int64(start) } ?? 0
    let (from, to) = (
      UInt64(min(Int64(low), Int64(low) + distance)), UInt64(max(Int64(high), Int64(high) + distance))
    )
    let (fixed, other) = (own.form.fixed, pair?.form.fixed)
    let last = steps(own.form.steps, pair?.form.steps)
    // Late terms without a product would leave their steps behind.
    guard own.early.isEmpty || earlySegments < segments.count else { return nil }
    let early = steps(own.early, pair?.early, last: lateCorrections)
    let positionCount = own.addresses.count * c.batch
    return FusedCall(
      call: TaskGraph.Call(
        tiles: vta_tiles(
          inp: nil, segments: pools.add(segments), segment_count: segments.count,
          position_count: positionCount, block: c.block, init: pools.add(sums),
          inits: sumsOfOutput.isEmpty ? nil : pools.add(sumsOfOutput), results: first.results,
          pair: Int(distance), acc: nil, out: nil,
          shift: fixed.flatMap { pools.add($0.shift + (other?.shift ?? [])) },
          offset: fixed.flatMap { pools.add($0.offset + (other?.offset ?? [])) }, high: fixed?.high ?? 0,
          low: fixed?.low ?? 0, steps: last.isEmpty ? nil : pools.add(last), step_count: last.count,
          early: early.isEmpty ? nil : pools.add(early), early_count: early.count,
          early_segments: earlySegments, ahead: nil, ahead_bytes: 0),
        address: start, isMaximum: own.isMaximum),
      macs: positionCount * products * c.block * c.block * (pair == nil ? 1 : 2),
      loads: own.terms.reduce(into: []) { list, term in
        if term.load >= 0 && !list.contains(term.load) { list.append(term.load) }
      },
      addresses: from..<to + UInt64(c.elementBytes(.out)))
  }

  /// - Parameter last: what the last step adds besides.
  private func steps(
    _ own: [Epilogue.Step], _ pair: [Epilogue.Step]?, last: [Int32]? = nil
  ) -> [vta_step] {
    own.indices.map { index in
      var lanes = own[index].lanes + (pair?[index].lanes ?? [])
      if let last, index == own.count - 1 { lanes = zip(lanes, last).map { $0 &+ $1 } }
      return vta_step(
        op: own[index].operation, form: own[index].form, lanes: lanes.isEmpty ? nil : pools.add(lanes))
    }
  }

  /// What sums start with: biases and corrections.
  ///
  /// - Returns: where the lanes of each position begin; empty: all at the start.
  private func startingSums(
    _ own: OutputClass, _ pair: OutputClass?, _ corrections: [Int32]
  ) -> ([Int32], [Int32]) {
    var sums: [Int32] = []
    var places: [SIMD2<Int32>: Int32] = [:]
    var list: [Int32] = []
    for index in own.addresses.indices {
      let biases = SIMD2(own.biasOfOutput[index], pair?.biasOfOutput[index] ?? 0)
      let place = places[biases] ?? Int32(sums.count)
      if Int(place) == sums.count {
        places[biases] = place
        let lanes = own.biases[Int(biases.x)] + (pair?.biases[Int(biases.y)] ?? [])
        sums += zip(lanes, corrections).map { $0 &+ $1 }
      }
      list += repeatElement(place, count: c.batch)
    }
    return (sums, places.count == 1 ? [] : list)
  }

  private mutating func runs(
    _ steps: [Int], _ stepInputs: Int, _ tiles: [Int32], _ pair: [Int32]?
  ) -> Runs {
    let key = RunKey(stepInputs: stepInputs, tiles: tiles, pair: pair ?? [])
    if let known = knownRuns[key] { return known }
    var list: [vta_run] = []
    list.reserveCapacity(steps.count)
    var corrections = [Int32](repeating: 0, count: c.block)
    var others = corrections
    for (index, step) in steps.enumerated() {
      let inp = Int32(step * c.batch * c.block)
      pools.weights.addRuns(tiles[index], pair: pair?[index], inp: inp, to: &list)
      if planner.kernels.inputBias != 0 {
        pools.weights.addCorrections(of: tiles[index], to: &corrections)
        if let pair { pools.weights.addCorrections(of: pair[index], to: &others) }
      }
    }
    let runs = Runs(
      list: pools.add(list), count: list.count, corrections: corrections + (pair == nil ? [] : others))
    knownRuns[key] = runs
    return runs
  }

  /// Calls of a GEMM whose accumulators stay in memory.
  mutating func accumulations(
    _ step: TaskPlanner.Strand.Step, _ places: [Int: InputPlacement.Place]
  ) -> [TaskGraph.Call] {
    guard case .gemm(let number) = planner.operations[step.operation] else { return [] }
    let plan = planner.gemms[number]
    let (tile, row) = (c.batch * c.block, c.block)
    var result: [TaskGraph.Call] = []
    for (shiftIndex, shift) in plan.shifts.enumerated() {
      for (callIndex, call) in plan.calls.enumerated() {
        let index = shiftIndex * plan.calls.count + callIndex
        guard let place = places[Int(step.groups[index])], let first = call.positions.first else { continue }
        let runs = runs(
          call.steps.map(\.inp), stepInputs[number][callIndex], tiles(step, plan, index), nil)
        let positions = call.positions.flatMap { position in
          (0..<c.batch).map { Int32((position.inp - first.inp) * tile + $0 * row) }
        }
        let results = call.positions.flatMap { position in
          (0..<c.batch).map { Int32(((position.acc + shift.acc) * tile + $0 * row) * 4) }
        }
        let segment = vta_segment(
          runs: runs.list, run_count: runs.count, positions: pools.add(positions),
          inp: (first.inp + shift.inp + place.distance) * tile)
        result.append(
          TaskGraph.Call(
            tiles: vta_tiles(
              inp: nil, segments: pools.add([segment]), segment_count: 1, position_count: results.count,
              block: c.block, init: pools.add(runs.corrections), inits: nil, results: pools.add(results),
              pair: 0, acc: nil, out: nil, shift: nil, offset: nil, high: 0, low: 0, steps: nil,
              step_count: 0, early: nil, early_count: 0, early_segments: 0, ahead: nil, ahead_bytes: 0),
            address: 0))
      }
    }
    return result
  }
}
