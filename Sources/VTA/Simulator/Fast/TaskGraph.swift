internal import CVTAKernels

/// A program as tasks that share nothing but DRAM. Each brings its own inputs into a scratchpad of the core that runs it.
/// Tasks are taken in order; each names the last one that must be done before it.
///
/// Lists lie one behind the other in arrays that runs walk through without counting references.
final class TaskGraph {
  struct Piece {
    let rows: FastOperation.Rows
    let to: FastOperation.Destination
  }

  struct Task {
    /// Loads that it needs, among ``numbers``; the core may have done some of them already.
    let loads: Range<Int>
    let body: Body
    /// Index of the last task that must have ended; -1: none.
    let dependency: Int
  }

  enum Body {
    /// Sums that go from registers to DRAM; `hull` holds all of their addresses.
    case fused(calls: Range<Int>, hull: Range<UInt64>)
    /// On accumulators in a scratchpad: one of ``plains``.
    case plain(Int)
  }

  /// A call of a kernel, complete but for the memory that differs from core to core or run to run.
  struct Call {
    var tiles: vta_tiles
    /// Of the first result.
    let address: UInt64
    /// Whether it takes the largest input instead of a sum.
    var isMaximum = false
    /// Results stay with the core, for a later call of the same task that reads them; the address counts from where they lie.
    var storesStaged = false
    var readsStaged = false
  }

  /// What a task computes; for reports.
  struct Origin {
    /// The last one, a STORE.
    let instruction: Int
    let macs: Int
  }

  /// What a graph is made of.
  struct Parts {
    var tasks: [Task] = []
    /// One per task.
    var origins: [Origin] = []
    /// INP elements that come into the scratchpad together: ``pieces`` of each load.
    var loads: [Range<Int>] = []
    var pieces: [Piece] = []
    var numbers: [Int32] = []
    var calls: [Call] = []
    var plains: [[FastOperation]] = []
    /// Where the calls of each ``FastOperation/gemm(_:)`` of plain tasks are.
    var accumulations: [Range<Int>] = []
    var alus: [FastOperation.ALUList] = []

    /// Makes each call name the weights of the next one, which lie one behind the other as a rule.
    mutating func lookAhead() {
      for index in calls.indices.dropLast() {
        let next = calls[index + 1].tiles
        guard let first = firstWeights(next), first != firstWeights(calls[index].tiles) else { continue }
        calls[index].tiles.ahead = first
        let groups = (0..<next.segment_count).reduce(0) { sum, segment in
          let segment = next.segments[segment]
          return (0..<segment.run_count).reduce(sum) { $0 + Int(segment.runs[$1].count) }
        }
        calls[index].tiles.ahead_bytes = groups * 4 * next.block * (next.pair == 0 ? 1 : 2)
      }
    }

    private func firstWeights(_ tiles: vta_tiles) -> UnsafePointer<UInt8>? {
      guard tiles.segment_count > 0, let segment = tiles.segments?.pointee, segment.run_count > 0 else {
        return nil
      }
      return segment.runs?.pointee.wgt
    }

    mutating func add(_ list: [Int32]) -> Range<Int> {
      numbers += list
      return numbers.count - list.count..<numbers.count
    }
  }

  let tasks: FixedList<Task>
  let origins: [Origin]
  let loads: FixedList<Range<Int>>
  let pieces: FixedList<Piece>
  let numbers: FixedList<Int32>
  let calls: FixedList<Call>
  let plains: [[FastOperation]]
  let accumulations: [Range<Int>]
  let alus: [FastOperation.ALUList]
  /// Elements that a core's scratchpad for inputs needs.
  let inputElements: Int
  private let pools: KernelPools

  init(_ parts: Parts, inputElements: Int, pools: KernelPools) {
    tasks = FixedList(parts.tasks)
    origins = parts.origins
    loads = FixedList(parts.loads)
    pieces = FixedList(parts.pieces)
    numbers = FixedList(parts.numbers)
    calls = FixedList(parts.calls)
    plains = parts.plains
    accumulations = parts.accumulations
    alus = parts.alus
    self.inputElements = inputElements
    self.pools = pools
  }

  /// Lists and packed weights.
  var byteCount: Int {
    pools.byteCount + tasks.byteCount + origins.count * MemoryLayout<Origin>.stride + loads.byteCount
      + pieces.byteCount + numbers.byteCount
      + calls.byteCount + plains.reduce(0) { $0 + $1.count * MemoryLayout<FastOperation>.stride }
      + alus.reduce(0) { $0 + 4 * ($1.dst.count + $1.src.count) }
  }

  var fusedCount: Int {
    (0..<tasks.count).count { index in
      if case .fused = tasks[index].body { true } else { false }
    }
  }
}

/// An array that never changes, read without checks that it is still there.
final class FixedList<Element> {
  private let elements: UnsafeMutableBufferPointer<Element>

  init(_ list: [Element]) {
    elements = .allocate(capacity: list.count)
    _ = elements.initialize(fromContentsOf: list)
  }

  deinit {
    elements.deinitialize()
    elements.deallocate()
  }

  var count: Int { elements.count }
  var byteCount: Int { elements.count * MemoryLayout<Element>.stride }

  @inline(__always)
  subscript(index: Int) -> Element {
    precondition(elements.indices.contains(index))
    return elements[index]
  }
}
