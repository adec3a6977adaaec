private import CVTAKernels
private import Synchronization

/// Runs task graphs on the cores of an executor.
///
/// Cores take tasks in order. A core waits until no other is busy with a task that its own depends on, or an earlier one.
final class TaskRunner {
  private let target: Target
  private let kernels: KernelSet
  private var cores: [(core: Core, inputElements: Int)] = []

  /// Programs with less arithmetic run on one core: waking another takes some microseconds.
  private static let macsWorthSharing = 16 << 20
  private let sharedMACs: Int

  init(_ target: Target, _ kernels: KernelSet, sharesAll: Bool) {
    self.target = target
    sharedMACs = sharesAll ? 0 : Self.macsWorthSharing
    self.kernels = kernels
  }

  func run(
    _ graph: TaskGraph, macs: Int, _ memory: SimulatedMemory, _ executor: (any ParallelExecutor)?,
    _ shouldContinue: () -> Bool
  ) throws {
    let width = macs < sharedMACs ? 1 : min(executor?.width ?? 1, graph.tasks.count)
    prepareCores(max(1, width), graph)
    let progress = Progress(width: max(1, width))
    if width > 1, let executor {
      executor.perform { index in
        if index < width { work(index, graph, memory, progress, executor, shouldContinue) }
      }
    } else {
      work(0, graph, memory, progress, nil, shouldContinue)
    }
    if let fault = progress.fault.withLock({ $0 }) { throw fault }
  }

  /// Runs a graph on one core.
  ///
  /// - Returns: what each task took.
  func times(_ graph: TaskGraph, _ memory: SimulatedMemory) throws -> [Duration] {
    prepareCores(1, graph)
    let core = cores[0].core
    var isLoaded = [Bool](repeating: false, count: graph.loads.count)
    return try (0..<graph.tasks.count).map { number in
      let start = ContinuousClock.now
      try perform(graph.tasks[number], graph, core, memory, &isLoaded)
      return ContinuousClock.now - start
    }
  }

  /// Runs a graph on this thread in an order that two cores could come to, of which one stops now and then.
  ///
  /// - Parameter isStopped: asked before each task.
  func run(_ graph: TaskGraph, _ memory: SimulatedMemory, isStopped: () -> Bool) throws {
    prepareCores(2, graph)
    var isLoaded = [[Bool]](repeating: [Bool](repeating: false, count: graph.loads.count), count: 2)
    /// The task that one core has taken and not done, while the other goes on as far as it may.
    var delayed: Int?
    func finish() throws {
      guard let task = delayed else { return }
      try perform(graph.tasks[task], graph, cores[1].core, memory, &isLoaded[1])
      delayed = nil
    }
    for number in 0..<graph.tasks.count {
      let mustStop = isStopped()
      if let task = delayed, !mustStop || graph.tasks[number].dependency >= task { try finish() }
      if delayed == nil && mustStop {
        delayed = number
      } else {
        try perform(graph.tasks[number], graph, cores[0].core, memory, &isLoaded[0])
      }
    }
    try finish()
  }

  private func prepareCores(_ count: Int, _ graph: TaskGraph) {
    for index in 0..<count {
      if index < cores.count, cores[index].inputElements >= graph.inputElements { continue }
      let core = Core(target.configuration, kernels, inputElements: graph.inputElements)
      if index < cores.count {
        cores[index] = (core, graph.inputElements)
      } else {
        cores.append((core, graph.inputElements))
      }
    }
  }

  /// What the cores know of each other during one run.
  private final class Progress: Sendable {
    /// The task that is taken next.
    let next = Atomic<Int>(0)
    let mustStop = Atomic<Bool>(false)
    let fault = Mutex<(any Error)?>(nil)
    /// The task that each core is busy with: all tasks before it that the core took have ended. A core that takes none has
    /// the last number there is.
    let busy: [Busy]

    /// On a cache line of its own.
    final class Busy: Sendable {
      let task = Atomic<Int>(.max)
      let padding = (0, 0, 0, 0, 0, 0, 0, 0)
    }

    init(width: Int) { busy = (0..<width).map { _ in Busy() } }

    func stop(_ error: any Error) {
      fault.withLock { if $0 == nil { $0 = error } }
      mustStop.store(true, ordering: .relaxed)
    }
  }

  private func work(
    _ index: Int, _ graph: TaskGraph, _ memory: SimulatedMemory, _ progress: Progress,
    _ executor: (any ParallelExecutor)?, _ shouldContinue: () -> Bool
  ) {
    let core = cores[index].core
    var isLoaded = [Bool](repeating: false, count: graph.loads.count)
    progress.busy[index].task.store(0, ordering: .sequentiallyConsistent)
    // Whatever ends this, nobody waits for this core any more.
    defer { progress.busy[index].task.store(.max, ordering: .releasing) }
    while true {
      // Until it says otherwise, others take this core to be busy with a task before this one.
      let number = progress.next.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
      guard number < graph.tasks.count else { return }
      progress.busy[index].task.store(number, ordering: .sequentiallyConsistent)
      let task = graph.tasks[number]
      var spins = 0
      for (other, busy) in progress.busy.enumerated() where other != index {
        while busy.task.load(ordering: .acquiring) <= task.dependency {
          if progress.mustStop.load(ordering: .relaxed) { return }
          vta_pause()
          spins += 1
          if spins % 4096 == 0 { executor?.yield() }
        }
      }
      if progress.mustStop.load(ordering: .relaxed) { return }
      guard shouldContinue() else { return progress.stop(SimulationError.stopped(at: number)) }
      do {
        try perform(task, graph, core, memory, &isLoaded)
      } catch {
        return progress.stop(error)
      }
    }
  }

  @inline(__always)
  private func perform(
    _ task: TaskGraph.Task, _ graph: TaskGraph, _ core: Core, _ memory: SimulatedMemory,
    _ isLoaded: inout [Bool]
  ) throws {
    for place in task.loads {
      let load = Int(graph.numbers[place])
      if isLoaded[load] { continue }
      for index in graph.loads[load] {
        let piece = graph.pieces[index]
        try core.loadInputs(piece.rows, piece.to, memory)
      }
      isLoaded[load] = true
    }
    try execute(task.body, graph, core, memory)
  }

  private func execute(
    _ body: TaskGraph.Body, _ graph: TaskGraph, _ core: Core, _ memory: SimulatedMemory
  ) throws {
    switch body {
    case .fused(let calls, let hull):
      let bytes = try memory.bytes(at: hull.lowerBound, count: hull.count)
      guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
      for index in calls {
        let call = graph.calls[index]
        var tiles = call.tiles
        tiles.inp = call.readsStaged ? UnsafePointer(core.stagedBase) : core.inputBase
        tiles.out =
          call.storesStaged
          ? core.stagedBase + Int(call.address) : base + Int(call.address - hull.lowerBound)
        if call.isMaximum {
          vta_maxima(&tiles, call.readsStaged ? 0 : kernels.inputBias)
        } else {
          kernels.kernel?(&tiles)
        }
      }
    case .plain(let index):
      for operation in graph.plains[index] { try execute(operation, graph, core, memory) }
    }
  }

  private func execute(
    _ operation: FastOperation, _ graph: TaskGraph, _ core: Core, _ memory: SimulatedMemory
  ) throws {
    switch operation {
    case .gemm(let index):
      for call in graph.accumulations[index] {
        var tiles = graph.calls[call].tiles
        tiles.inp = core.inputBase
        tiles.acc = core.accumulatorBase
        kernels.kernel?(&tiles)
      }
    case .loadAcc(let rows, let to): try core.loadAccumulators(rows, to, bytes: 4, memory)
    case .loadAcc8bit(let rows, let to): try core.loadAccumulators(rows, to, bytes: 1, memory)
    case .reset(let ranges): for range in ranges { core.reset(range) }
    case .aluImmediate(let list, let chain): core.alu(graph.alus[list], chain)
    case .aluTensor(let list, let operation): core.alu(graph.alus[list], tensor: operation)
    case .store(let rows, let first): try core.store(rows, first, memory)
    // The plan of a task has resolved them.
    case .loadInp, .useTiles, .packTiles, .clearTiles: break
    }
  }
}
