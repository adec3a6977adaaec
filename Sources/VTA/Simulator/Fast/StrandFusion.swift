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
  var knownSources: [Int: [Int32]] = [:]

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
  var inputs: [Int32]

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
}
