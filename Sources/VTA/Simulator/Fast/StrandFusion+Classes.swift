internal import CVTAKernels

/// Outputs of a strand that one call can compute.
extension StrandFusion {
  /// Outputs that the same operations make, of inputs at different places.
  struct OutputClass {
    /// Inputs that are multiplied with the same tiles for all outputs.
    struct Term {
      let load: Int32
      let stepInputs: Int
      /// In elements.
      let steps: [Int]
      let tiles: [Int32]
      /// Of each output, in elements from the scratchpad's start.
      var inputs: [Int32]
    }
    var terms: [Term] = []
    var addresses: [UInt64]
    /// Different ones, and which each output has.
    var biases: [[Int32]]
    var biasOfOutput: [Int32]
    var form: Epilogue.Form
    /// What becomes of the sum of the first terms before the others are added.
    var early: [Epilogue.Step] = []
    var earlyTerms = 0
    /// Whether terms are inputs of which the largest counts.
    var isMaximum = false

    init(_ outputs: [Output], _ after: Epilogue) {
      addresses = outputs.map(\.address)
      biases = [after.bias]
      biasOfOutput = Array(repeating: 0, count: outputs.count)
      form = after.form
    }

    /// Equal for classes that can be one.
    struct Key: Hashable {
      let loads: [Int32]
      let tiles: [[Int32]]
      let stepInputs: [Int]
      let form: Epilogue.Form
      let early: [Epilogue.Step]
      let earlyTerms: Int
      let isMaximum: Bool
    }
    var key: Key {
      Key(
        loads: terms.map(\.load), tiles: terms.map(\.tiles), stepInputs: terms.map(\.stepInputs), form: form,
        early: early, earlyTerms: earlyTerms, isMaximum: isMaximum)
    }

    mutating func append(_ other: OutputClass) {
      for index in terms.indices { terms[index].inputs += other.terms[index].inputs }
      addresses += other.addresses
      let places = other.biases.map { bias in
        if let known = biases.firstIndex(of: bias) { return Int32(known) }
        biases.append(bias)
        return Int32(biases.count - 1)
      }
      biasOfOutput += other.biasOfOutput.map { places[Int($0)] }
    }

    mutating func sort() {
      let order = addresses.indices.sorted { addresses[$0] < addresses[$1] }
      for index in terms.indices { terms[index].inputs = order.map { terms[index].inputs[$0] } }
      addresses = order.map { addresses[$0] }
      biasOfOutput = order.map { biasOfOutput[$0] }
    }
  }

  /// As few classes as there can be.
  mutating func classes(
    _ outputs: [(state: Int32, outputs: [Output])], _ table: StateTable, _ strand: TaskPlanner.Strand,
    _ places: [Int: InputPlacement.Place]
  ) -> [OutputClass]? {
    var classes: [OutputClass] = []
    for (state, list) in outputs {
      guard let next = outputClass(state, list, table, strand, places) else { return nil }
      classes.append(next)
    }
    return merged(classes)
  }

  /// Outputs at the borders of a tile often differ from the others in nothing but their bias.
  private func merged(_ classes: [OutputClass]) -> [OutputClass] {
    if classes.count == 1 { return classes }
    var result: [OutputClass] = []
    var known: [OutputClass.Key: Int] = [:]
    var grown: Set<Int> = []
    for next in classes {
      let key = next.key
      if let index = known[key] {
        result[index].append(next)
        grown.insert(index)
      } else {
        known[key] = result.count
        result.append(next)
      }
    }
    for index in grown { result[index].sort() }
    return result
  }

  private mutating func outputClass(
    _ state: Int32, _ outputs: [Output], _ table: StateTable, _ strand: TaskPlanner.Strand,
    _ places: [Int: InputPlacement.Place]
  ) -> OutputClass? {
    let own = table.history(of: state)
    if own.contains(where: { $0.state.operand != nil }) {
      if let maximum = maximumClass(own.map(\.state), outputs, table, strand, places) { return maximum }
      guard let other = otherNumber(own, outputs, table, strand) else { return nil }
      return outputClass(own, other, outputs, strand, places)
    }
    return outputClass(own, [], outputs, strand, places)
  }

  /// - Parameter other: the history of a second number that the results depend on.
  private mutating func outputClass(
    _ own: [StateTable.Entry], _ other: [StateTable.Entry], _ outputs: [Output], _ strand: TaskPlanner.Strand,
    _ places: [Int: InputPlacement.Place]
  ) -> OutputClass? {
    var after = Epilogue(block: c.block)
    var result = OutputClass(outputs, after)
    /// The bias of sums that others are added to later.
    var earlyBias: [Int32]?
    let entries = own.map { ($0.state, false) } + other.map { ($0.state, true) }
    for (state, isOther) in other.isEmpty ? entries : entries.sorted(by: { $0.0.step < $1.0.step }) {
      switch state.origin {
      case .zero: break
      case .constant(let address):
        guard let lanes = constant(address) else { return nil }
        if isOther {
          after.apply(VTA_ALU_ADD, lanes, isTensor: true, onOther: true)
        } else {
          after.bias = lanes
        }
      case .gemm(let step, let index):
        if !after.isBias && earlyBias == nil, let early = after.stepsWithLanes {
          (result.early, result.earlyTerms, earlyBias) = (early, result.terms.count, after.bias)
          after = Epilogue(block: c.block)
        }
        guard after.isBias, !isOther, add(strand.steps[Int(step)], Int(index), outputs, places, to: &result)
        else {
          return nil
        }
      case .immediate(let step):
        guard case .aluImmediate(_, let chain) = planner.operations[strand.steps[Int(step)].operation] else {
          return nil
        }
        for immediate in chain {
          after.apply(
            vta_alu_op(rawValue: UInt32(immediate.operation)),
            [Int32](repeating: immediate.value, count: c.block), isTensor: false, onOther: isOther)
        }
      case .tensor(let step, let address):
        guard let operation = tensorOperation(strand, step), let lanes = constant(address) else { return nil }
        after.apply(operation, lanes, isTensor: true, onOther: isOther)
      case .combined(let step, _):
        guard let operation = tensorOperation(strand, step), after.combine(operation, onOther: isOther) else {
          return nil
        }
      }
    }
    result.form = after.form
    result.biases = [earlyBias ?? after.bias]
    if earlyBias != nil {
      result.early.append(
        Epilogue.Step(operation: VTA_ALU_ADD, form: VTA_SUM_BY_LANES, lanes: after.bias))
    }
    return result
  }

  /// The history of the one other accumulator per output that takes part in a value.
  ///
  /// - Returns: `nil` if there is not just one, or if the two are not each other's operands at any time.
  private mutating func otherNumber(
    _ own: [StateTable.Entry], _ outputs: [Output], _ table: StateTable, _ strand: TaskPlanner.Strand
  ) -> [StateTable.Entry]? {
    guard let last = own.last(where: { $0.state.operand != nil }), let operand = last.state.operand,
      let partners = sources(strand, last.state.step)
    else { return nil }
    let other = table.history(of: operand)
    // Which operand each of them finds in the other one, in the order of steps; each step changes one of them, once.
    var (ownNumber, otherNumber, lastStep) = (Int32(0), Int32(0), Int32(-1))
    let entries = own.map { ($0, false) } + other.map { ($0, true) }
    for (entry, isOther) in entries.sorted(by: { $0.0.state.step < $1.0.state.step }) {
      let step = entry.state.step
      if step >= 0 && step == lastStep {
        guard case .gemm = entry.state.origin, !isOther else { return nil }
      }
      lastStep = step
      if let operand = entry.state.operand {
        guard operand == (isOther ? ownNumber : otherNumber), let sources = sources(strand, step) else {
          return nil
        }
        let fits = outputs.allSatisfy { output in
          let partner = partners[Int(output.element)]
          return partner >= 0 && partner != output.element
            && (isOther ? sources[Int(partner)] == output.element : sources[Int(output.element)] == partner)
        }
        guard fits else { return nil }
      }
      if isOther { otherNumber = entry.number } else { ownNumber = entry.number }
    }
    return other
  }

  func tensorOperation(_ strand: TaskPlanner.Strand, _ step: Int32) -> vta_alu_op? {
    guard case .aluTensor(_, let operation) = planner.operations[strand.steps[Int(step)].operation] else {
      return nil
    }
    return vta_alu_op(rawValue: UInt32(operation))
  }

  /// The operand of each accumulator that an ALU instruction changes; -1: it doesn't.
  private mutating func sources(_ strand: TaskPlanner.Strand, _ step: Int32) -> [Int32]? {
    guard case .aluTensor(let list, _) = planner.operations[strand.steps[Int(step)].operation] else {
      return nil
    }
    if let known = knownSources[list] { return known }
    // Few programs have more than some.
    if knownSources.count > 64 { knownSources = [:] }
    var result = [Int32](repeating: -1, count: c.depth(.acc))
    for (dst, src) in zip(planner.alus[list].dst, planner.alus[list].src) {
      result[Int(dst) >> laneShift] = src >> Int32(laneShift)
    }
    knownSources[list] = result
    return result
  }

  /// A GEMM's part of the sums.
  mutating func add(
    _ step: TaskPlanner.Strand.Step, _ index: Int, _ outputs: [Output],
    _ places: [Int: InputPlacement.Place], to result: inout OutputClass
  ) -> Bool {
    guard case .gemm(let number) = planner.operations[step.operation] else { return false }
    let plan = planner.gemms[number]
    let (shift, callIndex) = (plan.shifts[index / plan.calls.count], index % plan.calls.count)
    let call = plan.calls[callIndex]
    for position in call.positions { inputs[position.acc + shift.acc] = Int32(position.inp + shift.inp) }
    guard let place = places[Int(step.groups[index])] else { return false }
    let distance = Int32(place.distance)
    result.terms.append(
      OutputClass.Term(
        load: place.load, stepInputs: stepInputs[number][callIndex], steps: call.steps.map(\.inp),
        tiles: tiles(step, plan, index), inputs: outputs.map { inputs[Int($0.element)] + distance }))
    return true
  }

  /// Tiles that one repetition of one call multiplies with.
  func tiles(_ step: TaskPlanner.Strand.Step, _ plan: GemmPlan, _ index: Int) -> [Int32] {
    let perShift = plan.calls.reduce(0) { $0 + $1.steps.count }
    let (shift, call) = (index / plan.calls.count, index % plan.calls.count)
    let first = shift * perShift + plan.calls[..<call].reduce(0) { $0 + $1.steps.count }
    return Array(step.tiles[first..<first + plan.calls[call].steps.count])
  }
}
