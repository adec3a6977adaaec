internal import CVTAKernels

/// Turns strands into calls of kernels. Where each result is a sum of tile products that is shifted and clipped alike for all
/// pixels of a block of channels, nothing goes through accumulators in memory.
struct StrandFusion {
  /// One or two blocks of outputs.
  struct FusedCall {
    var call: TaskGraph.Call
    let macs: Int
    let loads: [Int32]
    let addresses: Range<UInt64>
  }

  let planner: TaskPlanner
  let c: HardwareConfiguration
  let pools: KernelPools
  let laneShift: Int
  /// Distances of inputs between steps, of each call of each plan, by number of equal lists.
  let stepInputs: [[Int]]
  var knownRuns: [RunKey: Runs] = [:]
  private var knownConstants: [UInt64: [Int32]?] = [:]
  /// By index of an ALU list.
  private var knownSources: [Int: [Int32]] = [:]

  struct RunKey: Hashable {
    let stepInputs: Int
    let tiles: [Int32]
    let pair: [Int32]
  }

  struct Runs {
    let list: UnsafePointer<vta_run>?
    let count: Int
    /// What `init` must have: corrections, of one block or two.
    let corrections: [Int32]
  }

  // Scratch space, by accumulator.
  var states: [Int32]
  private var inputs: [Int32]

  init(_ planner: TaskPlanner, _ pools: KernelPools) {
    self.planner = planner
    self.pools = pools
    c = planner.target.configuration
    laneShift = (c.batch * c.block).trailingZeroBitCount
    states = Array(repeating: 0, count: c.depth(.acc))
    inputs = states
    var known: [[Int]: Int] = [:]
    stepInputs = planner.gemms.map { plan in
      plan.calls.map { call in
        let list = call.steps.map(\.inp)
        let number = known[list] ?? known.count
        known[list] = number
        return number
      }
    }
  }

  // MARK: Following values

  /// What an accumulator holds, as the operation that made it and what it held before.
  struct State: Hashable {
    enum Origin: Hashable {
      case zero
      /// Lanes from DRAM, by address.
      case constant(UInt64)
      /// A step of the strand, and which repetition of which call.
      case gemm(step: Int32, index: Int32)
      case immediate(step: Int32)
      /// With a constant operand, by its address.
      case tensor(step: Int32, constant: UInt64)
      /// With an operand that is not, by the number of its state.
      case combined(step: Int32, operand: Int32)
    }
    let origin: Origin
    let previous: Int32

    /// -1: it is no step's doing.
    var step: Int32 {
      switch origin {
      case .zero, .constant: -1
      case .gemm(let step, _), .immediate(let step), .tensor(let step, _), .combined(let step, _): step
      }
    }

    var operand: Int32? {
      if case .combined(_, let operand) = origin { operand } else { nil }
    }
  }

  struct StateTable {
    private(set) var list = [State(origin: .zero, previous: -1)]
    private var known: [State: Int32] = [:]
    /// Neighbours mostly go the same way.
    private var last: (state: State, number: Int32)?

    mutating func number(_ state: State) -> Int32 {
      if let last, last.state == state { return last.number }
      let found = known[state] ?? Int32(list.count)
      if Int(found) == list.count {
        list.append(state)
        known[state] = found
      }
      last = (state, found)
      return found
    }

    struct Entry {
      let number: Int32
      let state: State
    }

    /// From the first operation on.
    func history(of number: Int32) -> [Entry] {
      var result: [Entry] = []
      var number = number
      while number >= 0 {
        result.append(Entry(number: number, state: list[Int(number)]))
        number = list[Int(number)].previous
      }
      return result.reversed()
    }
  }

  struct Output {
    let element: Int32
    let address: UInt64
  }

  /// - Returns: `nil` if a value is no sum that is shifted and clipped and stored once.
  mutating func fuse(_ strand: TaskPlanner.Strand, _ places: [Int: InputPlacement.Place]) -> [FusedCall]? {
    guard c.outBits == 8 else { return nil }
    if let (table, outputs) = follow(strand, before: strand.steps.count),
      let classes = classes(outputs, table, strand, places)
    {
      return calls(classes)
    }
    return fuseInStages(strand, places)
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

  /// - Parameter end: the first step that is left out.
  mutating func follow(
    _ strand: TaskPlanner.Strand, before end: Int
  ) -> (StateTable, [(state: Int32, outputs: [Output])])? {
    var table = StateTable()
    for element in strand.implicitResets { states[element] = 0 }
    var outputs: [(state: Int32, outputs: [Output])] = []
    var classOfState: [Int32: Int] = [:]
    for (number, step) in strand.steps[..<end].enumerated() {
      let number = Int32(number)
      let operation = planner.operations[step.operation]
      for own in step.constants {
        guard constant(own.address) != nil else { return nil }
        states[own.element] = table.number(State(origin: .constant(own.address), previous: -1))
      }
      if case .store = operation {} else if !outputs.isEmpty { return nil }
      switch operation {
      case .reset(let ranges):
        for range in ranges { for element in range { states[element] = 0 } }
      case .loadAcc(let rows, let to): guard loadConstants(rows, to, &table) else { return nil }
      case .gemm(let plan):
        let plan = planner.gemms[plan]
        var index: Int32 = 0
        for shift in plan.shifts {
          for call in plan.calls {
            for position in call.positions {
              let element = position.acc + shift.acc
              states[element] = table.number(
                State(origin: .gemm(step: number, index: index), previous: states[element]))
            }
            index += 1
          }
        }
      case .aluImmediate(let list, _):
        guard planner.alus[list].isInPlace else { return nil }
        for offset in planner.alus[list].dst {
          let element = Int(offset) >> laneShift
          states[element] = table.number(
            State(origin: .immediate(step: number), previous: states[element]))
        }
      case .aluTensor(let list, _):
        let list = planner.alus[list]
        for (dst, src) in zip(list.dst, list.src) {
          let (element, operand) = (Int(dst) >> laneShift, states[Int(src) >> laneShift])
          let origin: State.Origin
          if case .constant(let address) = table.list[Int(operand)].origin {
            origin = .tensor(step: number, constant: address)
          } else {
            origin = .combined(step: number, operand: operand)
          }
          states[element] = table.number(State(origin: origin, previous: states[element]))
        }
      case .store(let rows, let first):
        let size = c.elementBytes(.out)
        var element = first
        for row in 0..<rows.count {
          for column in 0..<rows.rowBytes / size {
            let state = states[element]
            let index =
              outputs.last?.state == state ? outputs.count - 1 : classOfState[state] ?? outputs.count
            if index == outputs.count {
              outputs.append((state, []))
              classOfState[state] = index
            }
            outputs[index].outputs.append(
              Output(
                element: Int32(element),
                address: rows.address + UInt64(row * rows.strideBytes + column * size)))
            element += 1
          }
        }
      case .loadAcc8bit, .loadInp, .useTiles, .packTiles, .clearTiles: return nil
      }
    }
    return (table, outputs)
  }

  /// The lanes of one batch row, if all rows are equal.
  mutating func constant(_ address: UInt64) -> [Int32]? {
    if let known = knownConstants[address] { return known }
    let size = c.elementBytes(.acc)
    var result: [Int32]?
    if let bytes = try? planner.memory.bytes(at: address, count: size) {
      let lanes = (0..<size / 4).map {
        Int32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Int32.self))
      }
      let row = Array(lanes.prefix(c.block))
      if (1..<c.batch).allSatisfy({ Array(lanes[$0 * c.block..<($0 + 1) * c.block]) == row }) { result = row }
    }
    knownConstants[address] = .some(result)
    return result
  }

  private mutating func loadConstants(
    _ rows: FastOperation.Rows, _ to: FastOperation.Destination, _ table: inout StateTable
  ) -> Bool {
    guard planner.isConstant(rows.address..<rows.address + UInt64(rows.byteCount)) else { return false }
    let size = c.elementBytes(.acc)
    if to.isPadded { for element in to.all { states[element] = 0 } }
    for row in 0..<rows.count {
      for column in 0..<rows.rowBytes / size {
        let address = rows.address + UInt64(row * rows.strideBytes + column * size)
        guard constant(address) != nil else { return false }
        states[to.first + row * to.pitch + column] = table.number(
          State(origin: .constant(address), previous: -1))
      }
    }
    return true
  }

  // MARK: Classes of equal outputs

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
