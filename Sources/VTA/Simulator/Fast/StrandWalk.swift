/// Follows accumulators, inputs and weights through a program, in order.
struct StrandWalk {
  private let planner: TaskPlanner
  private let c: HardwareConfiguration
  private let laneShift: Int

  /// Union-find over strands; a union keeps the smaller number.
  private var parents: [Int32] = []
  /// Strand of each accumulator; -1: never written.
  private var strandOfElement: [Int32]
  private var implicitResets: [(strand: Int32, element: Int)] = []
  private var steps: [(strand: Int32, step: TaskPlanner.Strand.Step)] = []
  /// Constant that a LOAD put into each accumulator and nothing has changed since, by address; `nil`: none. They belong to
  /// no strand: whoever reads one has a copy.
  private var constants: [UInt64?]
  /// Strand that has the copy; -1: none.
  private var holders: [Int32]
  /// Constants that the current operation reads or changes.
  private var touched: [Int] = []

  private var groups: [TaskPlanner.InputGroup] = []
  private var groupOfElement: [Int32]
  private var canExtendGroup = false
  /// Constant tile of each WGT element; -1: zeros.
  private var tiles: [Int32]
  private var extents: [[Extent]] = []
  /// Accumulators and tiles that the walk may still visit; bounds time and memory, whatever the program.
  private var budget = 1 << 26

  /// Inputs that a call touches, before shifts.
  private struct Extent {
    var low: Int
    var high: Int
  }

  init?(_ planner: TaskPlanner) {
    self.planner = planner
    c = planner.target.configuration
    laneShift = (c.batch * c.block).trailingZeroBitCount
    strandOfElement = Array(repeating: -1, count: c.depth(.acc))
    constants = Array(repeating: nil, count: c.depth(.acc))
    holders = strandOfElement
    groupOfElement = Array(repeating: -1, count: c.depth(.inp))
    tiles = Array(repeating: -1, count: c.depth(.wgt))
    extents = planner.gemms.map { plan in
      plan.calls.map { call in
        let positions = call.positions.map(\.inp), steps = call.steps.map(\.inp)
        return Extent(
          low: (positions.min() ?? 0) + (steps.min() ?? 0),
          high: (positions.max() ?? 0) + (steps.max() ?? 0))
      }
    }
  }

  /// - Returns: `nil` if inputs are mixed from several loads or never loaded, or weights are computed.
  mutating func strands() -> TaskPlanner.Strands? {
    for index in planner.operations.indices {
      guard take(index), budget > 0 else { return nil }
    }
    return collected()
  }

  private mutating func take(_ index: Int) -> Bool {
    switch planner.operations[index] {
    case .loadInp(_, let to): loadInp(index, to)
    case .useTiles(let indices, let slots):
      for (tile, slot) in zip(indices, slots) { tiles[slot] = tile }
    case .clearTiles(let slots): for slot in slots { tiles[slot] = -1 }
    case .packTiles: return false
    case .loadAcc(let rows, let to):
      let isConstant = planner.isConstant(rows.address..<rows.address + UInt64(rows.byteCount))
      if isConstant && !to.isPadded { loadConstants(rows, to) } else { begin([to.all], index) }
    case .loadAcc8bit(_, let to): begin([to.all], index)
    case .reset(let ranges): begin(ranges, index)
    case .gemm(let plan): return gemm(plan, index)
    case .aluImmediate(let list, _), .aluTensor(let list, _):
      let list = planner.alus[list]
      var strand: Int32 = -1
      budget -= list.src.count + list.dst.count
      for (dst, src) in zip(list.dst, list.src) {
        if src != dst { read(Int(src) >> laneShift, &strand) }
        join(Int(dst) >> laneShift, &strand)
      }
      append(TaskPlanner.Strand.Step(operation: index), strand)
    case .store(let rows, let first):
      var strand: Int32 = -1
      let elements = rows.count * rows.rowBytes / c.elementBytes(.out)
      for element in first..<first + elements { read(element, &strand) }
      append(TaskPlanner.Strand.Step(operation: index), strand < 0 ? newStrand() : strand)
    }
    return true
  }

  // MARK: Accumulators

  private mutating func newStrand() -> Int32 {
    parents.append(Int32(parents.count))
    return Int32(parents.count - 1)
  }

  private mutating func root(_ strand: Int32) -> Int32 {
    var strand = strand
    while parents[Int(strand)] != strand {
      parents[Int(strand)] = parents[Int(parents[Int(strand)])]
      strand = parents[Int(strand)]
    }
    return strand
  }

  /// Accumulators that are written without being read.
  private mutating func begin(_ ranges: [Range<Int>], _ index: Int) {
    let strand = newStrand()
    for range in ranges {
      for element in range {
        strandOfElement[element] = strand
        constants[element] = nil
      }
    }
    steps.append((strand, TaskPlanner.Strand.Step(operation: index)))
  }

  private mutating func loadConstants(_ rows: FastOperation.Rows, _ to: FastOperation.Destination) {
    let size = c.elementBytes(.acc)
    for row in 0..<rows.count {
      for column in 0..<rows.rowBytes / size {
        let element = to.first + row * to.pitch + column
        constants[element] = rows.address + UInt64(row * rows.strideBytes + column * size)
        holders[element] = -1
      }
    }
  }

  /// Makes a strand have the constants that its next step wants.
  private mutating func append(_ step: TaskPlanner.Strand.Step, _ strand: Int32) {
    var step = step
    for element in touched {
      guard let address = constants[element] else { continue }
      if strandOfElement[element] == Self.changed {
        strandOfElement[element] = strand
        constants[element] = nil
      } else if holders[element] >= 0, root(holders[element]) == root(strand) {
        continue
      }
      holders[element] = strand
      step.constants.append(TaskPlanner.Strand.Constant(element: element, address: address))
    }
    touched = []
    steps.append((strand, step))
  }

  /// Marks constants that the current operation changes.
  private static let changed: Int32 = -2

  /// Makes the strand of an accumulator that is not changed and `strand` one, unless it holds a constant.
  @inline(__always)
  private mutating func read(_ element: Int, _ strand: inout Int32) {
    if constants[element] == nil { return join(element, &strand) }
    touched.append(element)
  }

  /// Makes an accumulator's strand and `strand` one; -1: none yet.
  @inline(__always)
  private mutating func join(_ element: Int, _ strand: inout Int32) {
    let own = strandOfElement[element]
    if constants[element] != nil {
      if strand < 0 { strand = newStrand() }
      strandOfElement[element] = Self.changed
      touched.append(element)
      return
    }
    if own == strand && own >= 0 { return }
    joinOther(element, own, &strand)
  }

  private mutating func joinOther(_ element: Int, _ own: Int32, _ strand: inout Int32) {
    if own < 0 {
      if strand < 0 { strand = newStrand() }
      implicitResets.append((strand, element))
    } else if strand < 0 {
      strand = root(own)
    } else {
      let (first, second) = (root(own), root(strand))
      strand = min(first, second)
      parents[Int(max(first, second))] = strand
    }
    strandOfElement[element] = strand
  }

  // MARK: Inputs and weights

  private mutating func loadInp(_ index: Int, _ to: FastOperation.Destination) {
    if canExtendGroup, let last = groups.last, last.elements.upperBound == to.all.lowerBound {
      groups[groups.count - 1].pieces.append(index)
      groups[groups.count - 1].elements = last.elements.lowerBound..<to.all.upperBound
    } else {
      groups.append(TaskPlanner.InputGroup(pieces: [index], elements: to.all))
    }
    canExtendGroup = true
    for element in to.all { groupOfElement[element] = Int32(groups.count - 1) }
  }

  private mutating func gemm(_ index: Int, _ operation: Int) -> Bool {
    canExtendGroup = false
    let plan = planner.gemms[index]
    var step = TaskPlanner.Strand.Step(operation: operation)
    var strand: Int32 = -1
    var checked = 0..<0
    let perShift = plan.calls.reduce(0) { $0 + $1.positions.count + $1.steps.count }
    guard perShift <= budget / plan.shifts.count else { return false }
    budget -= perShift * plan.shifts.count
    for shift in plan.shifts {
      for (call, extent) in zip(plan.calls, extents[index]) {
        for position in call.positions { join(position.acc + shift.acc, &strand) }
        let elements = extent.low + shift.inp..<extent.high + shift.inp + 1
        let group = groupOfElement[elements.lowerBound]
        if group < 0 { return false }
        if elements != checked {
          for element in elements where groupOfElement[element] != group { return false }
          checked = elements
        }
        step.groups.append(group)
        for part in call.steps { step.tiles.append(tiles[part.wgt + shift.wgt]) }
      }
    }
    append(step, strand)
    return true
  }

  // MARK: Result

  /// Strands in the order of their last operations.
  private mutating func collected() -> TaskPlanner.Strands {
    var lists: [Int32: Int] = [:]
    var strands: [TaskPlanner.Strand] = []
    for (number, step) in steps {
      let root = root(number)
      let list = lists[root] ?? strands.count
      if list == strands.count {
        lists[root] = list
        strands.append(TaskPlanner.Strand())
      }
      strands[list].steps.append(step)
      for group in step.groups where strands[list].groups.last != Int(group) {
        if !strands[list].groups.contains(Int(group)) { strands[list].groups.append(Int(group)) }
      }
    }
    for (number, element) in implicitResets {
      if let list = lists[root(number)] { strands[list].implicitResets.append(element) }
    }
    func last(_ strand: TaskPlanner.Strand) -> Int { strand.steps.last?.operation ?? 0 }
    let sorted = strands.sorted { last($0) < last($1) }
    var strandOfOperation = [Int32](repeating: -1, count: planner.operations.count)
    for (index, strand) in sorted.enumerated() {
      for step in strand.steps { strandOfOperation[step.operation] = Int32(index) }
    }
    return TaskPlanner.Strands(list: sorted, groups: groups, strandOfOperation: strandOfOperation)
  }
}
