/// Takes a program apart into tasks.
///
/// A *strand* is everything that is connected through accumulators: typically one tile of a layer, from GEMM reset to STORE.
/// Weights are constant, inputs are loaded anew wherever they are needed, so strands share nothing but DRAM; what they load and
/// store there tells which strand must wait for which. Strands whose accumulators can stay in registers are fused.
struct TaskPlanner {
  let target: Target
  let kernels: KernelSet
  let memory: SimulatedMemory
  let isConstant: (Range<UInt64>) -> Bool
  let operations: [FastOperation]
  /// Index of the instruction that each operation comes from.
  let instructions: [Int32]
  let gemms: [GemmPlan]
  let alus: [FastOperation.ALUList]
  /// Addresses of constant weight tiles.
  let tiles: [UInt64]
  let limits: TranslationLimits

  /// - Returns: `nil` if the program is no set of strands, or in an order that tasks could not keep.
  func graph() -> TaskGraph? {
    guard var walk = StrandWalk(self), let strands = walk.strands(),
      let order = StrandOrder(strands, self), let placement = InputPlacement(strands, self),
      let weights = PackedTiles(tiles, target.configuration, memory)
    else { return nil }
    let pools = KernelPools(weights: weights)
    var fusion = StrandFusion(self, pools)
    var parts = TaskGraph.Parts()
    for load in placement.loads {
      parts.pieces += load
      parts.loads.append(parts.pieces.count - load.count..<parts.pieces.count)
    }
    var aluIndices: [Int: Int] = [:]
    /// Index of each strand's last task.
    var lastTask: [Int] = []
    for (index, strand) in strands.enumerated() {
      guard strand.steps.contains(where: { isStore($0.operation) }) else {
        // Nobody sees what it does.
        lastTask.append(parts.tasks.count - 1)
        continue
      }
      let dependency = order.dependencies[index] < 0 ? -1 : lastTask[Int(order.dependencies[index])]
      let places = placement.places[index]
      if !order.mayFuse[index]
        || !add(
          fusion.fuse(strand, places), strand, mustStayWhole: order.mustStayWhole[index], dependency,
          to: &parts)
      {
        let operations = plainOperations(strand, places, &fusion, &aluIndices, &parts)
        parts.plains.append(operations)
        parts.tasks.append(
          TaskGraph.Task(
            loads: parts.add(strand.groups.compactMap { places[$0]?.load }),
            body: .plain(parts.plains.count - 1), dependency: dependency))
        parts.origins.append(TaskGraph.Origin(instruction: instruction(of: strand), macs: macs(of: strand)))
      }
      lastTask.append(parts.tasks.count - 1)
    }
    parts.lookAhead()
    pools.seal()
    return TaskGraph(parts, inputElements: placement.elementCount, pools: pools)
  }

  private func isStore(_ index: Int) -> Bool {
    if case .store = operations[index] { true } else { false }
  }

  /// Calls of a fused strand as tasks of a few calls each.
  ///
  /// - Returns: whether that was possible: a task stores into one block of memory.
  private func add(
    _ calls: [StrandFusion.FusedCall]?, _ strand: Strand, mustStayWhole: Bool, _ dependency: Int,
    to parts: inout TaskGraph.Parts
  ) -> Bool {
    guard let calls, var hull = calls.first(where: { !$0.call.storesStaged })?.addresses else { return false }
    let mustStayWhole = mustStayWhole || calls.contains { $0.call.storesStaged }
    var pieces: [(calls: Range<Int>, hull: Range<UInt64>)] = []
    var (start, macs) = (0, 0)
    for (index, call) in calls.enumerated() {
      let own = call.call.storesStaged ? hull : call.addresses
      let wider = min(hull.lowerBound, own.lowerBound)..<max(hull.upperBound, own.upperBound)
      let isLarge = macs + call.macs > limits.taskMACs && !mustStayWhole
      if index > start && (isLarge || !isOneBlock(wider)) {
        pieces.append((start..<index, hull))
        (start, macs, hull) = (index, call.macs, own)
      } else {
        (macs, hull) = (macs + call.macs, wider)
      }
    }
    pieces.append((start..<calls.count, hull))
    guard pieces.allSatisfy({ isOneBlock($0.hull) }), pieces.count == 1 || !mustStayWhole else {
      return false
    }
    for piece in pieces {
      let own = calls[piece.calls]
      let loads = own.reduce(into: [Int32]()) { list, call in
        for load in call.loads where !list.contains(load) { list.append(load) }
      }
      let begin = parts.calls.count
      parts.calls += own.map(\.call)
      parts.tasks.append(
        TaskGraph.Task(
          loads: parts.add(loads), body: .fused(calls: begin..<parts.calls.count, hull: piece.hull),
          dependency: dependency))
      parts.origins.append(
        TaskGraph.Origin(instruction: instruction(of: strand), macs: own.reduce(0) { $0 + $1.macs }))
    }
    return true
  }

  private func instruction(of strand: Strand) -> Int {
    strand.steps.last.map { Int(instructions[$0.operation]) } ?? 0
  }

  private func macs(of strand: Strand) -> Int {
    let products = strand.steps.reduce(0) { sum, step in
      guard case .gemm(let plan) = operations[step.operation] else { return sum }
      let perShift = gemms[plan].calls.reduce(0) { $0 + $1.positions.count * $1.steps.count }
      return sum + perShift * gemms[plan].shifts.count
    }
    let c = target.configuration
    return products * c.batch * c.block * c.block
  }

  private func isOneBlock(_ range: Range<UInt64>) -> Bool {
    (try? memory.bytes(at: range.lowerBound, count: range.count)) != nil
  }

  private func plainOperations(
    _ strand: Strand, _ places: [Int: InputPlacement.Place], _ fusion: inout StrandFusion,
    _ aluIndices: inout [Int: Int], _ parts: inout TaskGraph.Parts
  ) -> [FastOperation] {
    var result: [FastOperation] = []
    if !strand.implicitResets.isEmpty {
      result.append(.reset(strand.implicitResets.map { $0..<$0 + 1 }))
    }
    func alu(_ index: Int) -> Int {
      if let known = aluIndices[index] { return known }
      parts.alus.append(alus[index])
      aluIndices[index] = parts.alus.count - 1
      return parts.alus.count - 1
    }
    for step in strand.steps {
      result += loads(of: step.constants)
      switch operations[step.operation] {
      case .gemm:
        let begin = parts.calls.count
        parts.calls += fusion.accumulations(step, places)
        parts.accumulations.append(begin..<parts.calls.count)
        result.append(.gemm(parts.accumulations.count - 1))
      case .aluImmediate(let list, let chain): result.append(.aluImmediate(alu(list), chain))
      case .aluTensor(let list, let operation):
        result.append(.aluTensor(alu(list), operation: operation))
      case let other: result.append(other)
      }
    }
    return result
  }

  /// Constants side by side come in one load.
  private func loads(of constants: [Strand.Constant]) -> [FastOperation] {
    let size = target.configuration.elementBytes(.acc)
    var result: [FastOperation] = []
    var first = 0
    for index in constants.indices {
      let (own, next) = (constants[index], index + 1 < constants.count ? constants[index + 1] : nil)
      if let next, next.element == own.element + 1, next.address == own.address + UInt64(size) { continue }
      let (start, count) = (constants[first], index - first + 1)
      let rows = FastOperation.Rows(
        address: start.address, byteCount: count * size, count: 1, rowBytes: count * size,
        strideBytes: count * size)
      let all = start.element..<start.element + count
      result.append(
        .loadAcc(
          rows,
          FastOperation.Destination(all: all, first: start.element, pitch: count, isPadded: false)))
      first = index + 1
    }
    return result
  }

  /// Elements of INP, from consecutive LOADs side by side.
  struct InputGroup {
    /// Indices of operations.
    var pieces: [Int]
    var elements: Range<Int>
  }

  struct Strand {
    /// In program order.
    var steps: [Step] = []
    /// Accumulators that it reads before it writes them: they hold 0.
    var implicitResets: [Int] = []
    /// Input groups that it reads, in order of use.
    var groups: [Int] = []

    /// An operation; of a GEMM also which input group each repetition of each call reads, and which tile each of their
    /// steps multiplies with (-1: zeros), both in the order shift, call, step.
    struct Step {
      let operation: Int
      var groups: [Int32] = []
      var tiles: [Int32] = []
      /// Constants that accumulators hold before it, which earlier steps have not put there.
      var constants: [Constant] = []
    }

    /// One accumulator's lanes in DRAM.
    struct Constant {
      let element: Int
      let address: UInt64
    }
  }

  /// What ``StrandWalk`` finds.
  struct Strands: RandomAccessCollection {
    let list: [Strand]
    let groups: [InputGroup]
    /// Strand of each operation; -1: none.
    let strandOfOperation: [Int32]

    var startIndex: Int { 0 }
    var endIndex: Int { list.count }
    subscript(index: Int) -> Strand { list[index] }
  }
}
