internal import CVTAKernels

/// Turns strands into calls of kernels. Where each result is a sum of tile products that is shifted and clipped alike for all
/// pixels of a block of channels, nothing goes through accumulators in memory.
struct StrandFusion {
  /// One or two blocks of outputs.
  struct FusedCall {
    let call: TaskGraph.Call
    let macs: Int
    let loads: [Int32]
    let addresses: Range<UInt64>
  }

  private let planner: TaskPlanner
  private let c: HardwareConfiguration
  private let pools: KernelPools
  private let laneShift: Int
  /// Distances of inputs between steps, of each call of each plan, by number of equal lists.
  private let stepInputs: [[Int]]
  private var knownRuns: [RunKey: Runs] = [:]
  private var knownConstants: [UInt64: [Int32]?] = [:]

  private struct RunKey: Hashable {
    let stepInputs: Int
    let tiles: [Int32]
    let pair: [Int32]
  }

  private struct Runs {
    let list: UnsafePointer<vta_run>?
    let count: Int
    /// What `init` must have: corrections, of one block or two.
    let corrections: [Int32]
  }

  // Scratch space, by accumulator.
  private var states: [Int32]
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
  private struct State: Hashable {
    enum Origin: Hashable {
      case zero
      /// Lanes from DRAM, by address.
      case constant(UInt64)
      /// A step of the strand, and which repetition of which call.
      case gemm(step: Int32, index: Int32)
      case immediate(step: Int32)
      /// With a constant operand, by the number of its state.
      case tensor(step: Int32, operand: Int32)
      /// With an operand that is not.
      case maximum(step: Int32, operand: Int32)
    }
    let origin: Origin
    let previous: Int32
  }

  private struct StateTable {
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
  }

  private struct Output {
    let element: Int32
    let address: UInt64
  }

  /// - Returns: `nil` if a value is no sum that is shifted and clipped and stored once.
  mutating func fuse(_ strand: TaskPlanner.Strand, _ places: [Int: InputPlacement.Place]) -> [FusedCall]? {
    guard c.outBits == 8, let (table, outputs) = follow(strand) else { return nil }
    var classes: [OutputClass] = []
    for (state, list) in outputs {
      guard let next = outputClass(state, list, table, strand, places) else { return nil }
      classes.append(next)
    }
    return calls(classes)
  }

  private mutating func follow(
    _ strand: TaskPlanner.Strand
  ) -> (StateTable, [(state: Int32, outputs: [Output])])? {
    var table = StateTable()
    for element in strand.implicitResets { states[element] = 0 }
    var outputs: [(state: Int32, outputs: [Output])] = []
    var classOfState: [Int32: Int] = [:]
    for (number, step) in strand.steps.enumerated() {
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
      case .aluTensor(let list, let operation):
        let list = planner.alus[list]
        for (dst, src) in zip(list.dst, list.src) {
          let (element, operand) = (Int(dst) >> laneShift, states[Int(src) >> laneShift])
          let origin: State.Origin
          if case .constant = table.list[Int(operand)].origin {
            origin = .tensor(step: number, operand: operand)
          } else if operation == Int32(VTA_ALU_MAX.rawValue) {
            origin = .maximum(step: number, operand: operand)
          } else {
            return nil
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
  private mutating func constant(_ address: UInt64) -> [Int32]? {
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

  private struct OutputClass {
    struct Term: Equatable {
      let load: Int32
      /// Of the first position, in bytes from the scratchpad's start, and of all relative to it.
      let start: Int
      let positions: UnsafePointer<Int32>?
      let stepInputs: Int
    }
    var terms: [Term]
    /// Of each term.
    var tiles: [[Int32]]
    var steps: [[Int]]
    var addresses: [UInt64]
    var after: Requantization
    /// Whether terms are inputs of which the largest counts.
    var isMaximum = false
  }

  /// `max(min(((sum + bias) >> shift) + offset, high), low)`.
  private struct Requantization {
    var bias: [Int32]
    var shift: [Int32]
    var offset: [Int32]
    var high = Int32.max
    var low = Int32.min
    private var isClipped = false

    init(bias: [Int32]) {
      self.bias = bias
      shift = Array(repeating: 0, count: bias.count)
      offset = shift
    }

    /// - Parameter operands: one per lane.
    /// - Returns: whether the result still has this form.
    mutating func apply(_ operation: Int32, _ operands: [Int32], isTensor: Bool) -> Bool {
      switch vta_alu_op(rawValue: UInt32(operation)) {
      case VTA_ALU_ADD:
        if operands.allSatisfy({ $0 == 0 }) { return true }
        if isClipped { return false }
        if shift.allSatisfy({ $0 == 0 }) {
          for lane in bias.indices { bias[lane] &+= operands[lane] }
        } else {
          for lane in offset.indices { offset[lane] &+= operands[lane] }
        }
      case VTA_ALU_SHR, VTA_ALU_SHR_FIVE_BITS, VTA_ALU_SHR_MASKED:
        var amounts = operands
        if isTensor {
          switch vta_alu_op(rawValue: UInt32(operation)) {
          case VTA_ALU_SHR: amounts = operands.map { $0 < 0 ? -1 : $0 & 31 }
          case VTA_ALU_SHR_FIVE_BITS: amounts = operands.map { (($0 &+ 16) & 31) - 16 }
          default: amounts = operands.map { $0 & 31 }
          }
        }
        if amounts.contains(where: { $0 < 0 }) { return false }
        if amounts.allSatisfy({ $0 == 0 }) { return true }
        guard !isClipped, offset.allSatisfy({ $0 == 0 }) else { return false }
        for lane in shift.indices { shift[lane] = min(31, shift[lane] + amounts[lane]) }
      case VTA_ALU_MIN, VTA_ALU_MAX:
        guard let bound = operands.first, operands.allSatisfy({ $0 == bound }) else { return false }
        clip(operation, bound)
      default: return false
      }
      return true
    }

    mutating func clip(_ operation: Int32, _ bound: Int32) {
      if operation == Int32(VTA_ALU_MIN.rawValue) {
        (high, low) = (min(high, bound), min(low, bound))
      } else {
        low = max(low, bound)
      }
      isClipped = true
    }
  }

  private mutating func outputClass(
    _ state: Int32, _ outputs: [Output], _ table: StateTable, _ strand: TaskPlanner.Strand,
    _ places: [Int: InputPlacement.Place]
  ) -> OutputClass? {
    var history: [State] = []
    var current = state
    while current >= 0 {
      history.append(table.list[Int(current)])
      current = table.list[Int(current)].previous
    }
    let isMaximum = history.contains {
      if case .maximum = $0.origin { true } else { false }
    }
    if isMaximum { return maximumClass(history.reversed(), outputs, table, strand, places) }
    var after = Requantization(bias: Array(repeating: 0, count: c.block))
    var result = OutputClass(
      terms: [], tiles: [], steps: [], addresses: outputs.map(\.address), after: after)
    var isSum = true
    for state in history.reversed() {
      switch state.origin {
      case .zero: break
      case .constant(let address):
        guard let lanes = constant(address) else { return nil }
        after = Requantization(bias: lanes)
      case .gemm(let step, let index):
        guard isSum, add(strand.steps[Int(step)], Int(index), outputs, places, to: &result) else {
          return nil
        }
      case .immediate(let step):
        isSum = false
        guard case .aluImmediate(_, let chain) = planner.operations[strand.steps[Int(step)].operation] else {
          return nil
        }
        for immediate in chain {
          let operands = [Int32](repeating: immediate.value, count: c.block)
          guard after.apply(immediate.operation, operands, isTensor: false) else { return nil }
        }
      case .tensor(let step, let operand):
        isSum = false
        guard case .aluTensor(_, let operation) = planner.operations[strand.steps[Int(step)].operation],
          case .constant(let address) = table.list[Int(operand)].origin, let lanes = constant(address),
          after.apply(operation, lanes, isTensor: true)
        else { return nil }
      case .maximum: return nil
      }
    }
    result.after = after
    return result
  }

  /// Max pooling: a constant, then the largest of inputs that an identity brought to accumulators, then bounds.
  private mutating func maximumClass(
    _ history: [State], _ outputs: [Output], _ table: StateTable, _ strand: TaskPlanner.Strand,
    _ places: [Int: InputPlacement.Place]
  ) -> OutputClass? {
    var result = OutputClass(
      terms: [], tiles: [], steps: [], addresses: outputs.map(\.address),
      after: Requantization(bias: Array(repeating: 0, count: c.block)), isMaximum: true)
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
            result.after.clip(immediate.operation, immediate.value)
          } else {
            start = isMin ? min(start, immediate.value) : max(start, immediate.value)
          }
        }
      case .maximum(let step, let operand):
        guard !hasUpperBound, steps.insert(step).inserted,
          addInput(strand, step, table.list[Int(operand)], outputs, places, to: &result)
        else { return nil }
        if !hasInputs { result.after.clip(Int32(VTA_ALU_MAX.rawValue), start) }
        hasInputs = true
      case .constant, .gemm, .tensor: return nil
      }
    }
    // Bounds beyond what inputs can be change nothing; a constant outside of int8 would be truncated.
    guard result.after.low <= 127, result.after.high >= -128 else { return nil }
    result.after.low = max(result.after.low, -128)
    result.after.high = min(result.after.high, 127)
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
      let tiles = result.tiles.last, tiles.count == 1, isIdentity(tiles[0])
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

  /// A GEMM's part of the sums.
  private mutating func add(
    _ step: TaskPlanner.Strand.Step, _ index: Int, _ outputs: [Output],
    _ places: [Int: InputPlacement.Place], to result: inout OutputClass
  ) -> Bool {
    guard case .gemm(let number) = planner.operations[step.operation] else { return false }
    let plan = planner.gemms[number]
    let (shift, callIndex) = (plan.shifts[index / plan.calls.count], index % plan.calls.count)
    let call = plan.calls[callIndex]
    for position in call.positions { inputs[position.acc + shift.acc] = Int32(position.inp + shift.inp) }
    guard let place = places[Int(step.groups[index])], let first = outputs.first else { return false }
    let start = inputs[Int(first.element)]
    let (tile, row) = (Int32(c.batch * c.block), Int32(c.block))
    var positions: [Int32] = []
    positions.reserveCapacity(outputs.count * c.batch)
    for output in outputs {
      let offset = (inputs[Int(output.element)] - start) * tile
      for batch in 0..<Int32(c.batch) { positions.append(offset + batch * row) }
    }
    result.terms.append(
      OutputClass.Term(
        load: place.load, start: (Int(start) + place.distance) * Int(tile), positions: pools.add(positions),
        stepInputs: stepInputs[number][callIndex]))
    result.tiles.append(tiles(step, plan, index))
    result.steps.append(call.steps.map(\.inp))
    return true
  }

  /// Tiles that one repetition of one call multiplies with.
  private func tiles(_ step: TaskPlanner.Strand.Step, _ plan: GemmPlan, _ index: Int) -> [Int32] {
    let perShift = plan.calls.reduce(0) { $0 + $1.steps.count }
    let (shift, call) = (index / plan.calls.count, index % plan.calls.count)
    let first = shift * perShift + plan.calls[..<call].reduce(0) { $0 + $1.steps.count }
    return Array(step.tiles[first..<first + plan.calls[call].steps.count])
  }

  // MARK: Calls

  /// Neighbours that read the same inputs become one call.
  private mutating func calls(_ classes: [OutputClass]) -> [FusedCall]? {
    var result: [FusedCall] = []
    var index = 0
    while index < classes.count {
      let own = classes[index]
      var pair: OutputClass?
      if index + 1 < classes.count, isPair(own, classes[index + 1]) { pair = classes[index + 1] }
      guard let call = call(own, pair) else { return nil }
      result.append(call)
      index += pair == nil ? 1 : 2
    }
    return result
  }

  private func isPair(_ first: OutputClass, _ second: OutputClass) -> Bool {
    guard !first.isMaximum, !second.isMaximum, first.terms == second.terms,
      first.addresses.count == second.addresses.count,
      first.after.high == second.after.high, first.after.low == second.after.low,
      let start = first.addresses.first, let other = second.addresses.first, start != other
    else { return false }
    return zip(first.addresses, second.addresses).allSatisfy { $1 &- $0 == other &- start }
  }

  private mutating func call(_ own: OutputClass, _ pair: OutputClass?) -> FusedCall? {
    guard let start = own.addresses.first, let low = own.addresses.min(), let high = own.addresses.max()
    else {
      return nil
    }
    var sums = own.after.bias + (pair?.after.bias ?? [])
    var segments: [vta_segment] = []
    var products = 0
    for (index, term) in own.terms.enumerated() {
      products += own.tiles[index].count
      if own.isMaximum {
        segments.append(
          vta_segment(
            runs: nil, run_count: 0, positions: term.positions,
            inp: term.start + own.steps[index][0] * c.batch * c.block))
        continue
      }
      let runs = runs(
        own.steps[index], term.stepInputs, own.tiles[index], pair.map { $0.tiles[index] })
      for lane in sums.indices { sums[lane] &+= runs.corrections[lane] }
      if runs.count > 0 {
        segments.append(
          vta_segment(
            runs: runs.list, run_count: runs.count, positions: term.positions, inp: term.start))
      }
    }
    var results: [Int32] = []
    results.reserveCapacity(own.addresses.count * c.batch)
    for address in own.addresses {
      guard let offset = Int32(exactly: Int64(address) - Int64(start)) else { return nil }
      for batch in 0..<c.batch { results.append(offset &+ Int32(batch * c.block)) }
    }
    let distance = pair?.addresses.first.map { Int64($0) - Int64(start) } ?? 0
    let (first, last) = (
      UInt64(min(Int64(low), Int64(low) + distance)), UInt64(max(Int64(high), Int64(high) + distance))
    )
    return FusedCall(
      call: TaskGraph.Call(
        tiles: vta_tiles(
          inp: nil, segments: pools.add(segments), segment_count: segments.count,
          position_count: results.count, block: c.block, init: pools.add(sums), results: pools.add(results),
          pair: Int(distance), acc: nil, out: nil,
          shift: pools.add(own.after.shift + (pair?.after.shift ?? [])),
          offset: pools.add(own.after.offset + (pair?.after.offset ?? [])), high: own.after.high,
          low: own.after.low),
        address: start, isMaximum: own.isMaximum),
      macs: results.count * products * c.block * c.block * (pair == nil ? 1 : 2),
      loads: own.terms.reduce(into: []) { list, term in
        if !list.contains(term.load) { list.append(term.load) }
      },
      addresses: first..<last + UInt64(c.elementBytes(.out)))
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
              block: c.block, init: pools.add(runs.corrections), results: pools.add(results), pair: 0,
              acc: nil,
              out: nil, shift: nil, offset: nil, high: 0, low: 0),
            address: 0))
      }
    }
    return result
  }
}
