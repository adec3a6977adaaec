/// Runs translated programs. Equal to ``FunctionalSimulator`` in every bit of memory.
///
/// Owned by the thread that drives the device; not safe to share.
package final class FastSimulator {
  package let target: Target
  package let kernels: KernelSet
  private let executor: (any ParallelExecutor)?
  private let tasks: TaskRunner
  private var sequence: SequenceRunner?

  /// - Parameters:
  ///   - executor: cores to share programs among; `nil`: this one.
  ///   - sharesAll: even programs that are too small to gain from it.
  /// - Returns: `nil` for blocks that no kernel handles.
  package init?(
    target: Target, kernels: KernelSet, executor: (any ParallelExecutor)? = nil, sharesAll: Bool = false
  ) {
    guard target.configuration.block % 4 == 0, kernels.kernel != nil else { return nil }
    self.target = target
    self.kernels = kernels
    self.executor = executor
    tasks = TaskRunner(target, kernels, sharesAll: sharesAll)
  }

  /// - Parameters:
  ///   - program: translated for this target and these kernels.
  ///   - shouldContinue: asked between tasks, by any of the executor's threads; `false` stops the run.
  /// - Throws: ``MemoryFault`` if memory of the program is gone, ``SimulationError/stopped(at:)``.
  package func run(
    _ program: TranslatedProgram, memory: SimulatedMemory, shouldContinue: () -> Bool = { true }
  ) throws {
    switch program.body {
    case .tasks(let graph): try tasks.run(graph, macs: program.figures.macs, memory, executor, shouldContinue)
    case .sequence(let operations):
      let runner = sequence ?? SequenceRunner(target, kernels)
      sequence = runner
      try runner.run(operations, memory, shouldContinue)
    }
  }

  /// Runs a program's tasks in an order that several cores could come to: finds dependences that are missing, where threads would
  /// find them by luck.
  ///
  /// - Parameter isStopped: whether one of the cores does not go on; asked before each task.
  package func run(
    _ program: TranslatedProgram, memory: SimulatedMemory, isStopped: () -> Bool
  ) throws {
    guard case .tasks(let graph) = program.body else { return try run(program, memory: memory) }
    try tasks.run(graph, memory, isStopped: isStopped)
  }

  /// Runs a program on one core.
  ///
  /// - Returns: what its parts took, in the order in which they ran.
  package func taskTimes(_ program: TranslatedProgram, memory: SimulatedMemory) throws -> [TaskTime] {
    switch program.body {
    case .tasks(let graph):
      return zip(try tasks.times(graph, memory), 0..<graph.tasks.count).map { time, index in
        let path: TaskTime.Path
        switch graph.tasks[index].body {
        case .fused(let calls, _): path = graph.calls[calls.lowerBound].isMaximum ? .maxima : .fused
        case .plain: path = .accumulators
        }
        let origin = graph.origins[index]
        return TaskTime(instruction: origin.instruction, macs: origin.macs, time: time, path: path)
      }
    case .sequence:
      let start = ContinuousClock.now
      try run(program, memory: memory)
      return [
        TaskTime(
          instruction: 0, macs: program.figures.macs, time: ContinuousClock.now - start, path: .sequence)
      ]
    }
  }
}

/// What a part of a program took.
package struct TaskTime: Sendable {
  package enum Path: String, Sendable, CaseIterable {
    /// Sums go from registers to memory.
    case fused
    /// Fused, the largest inputs instead of sums.
    case maxima
    /// On accumulators in memory, instruction by instruction.
    case accumulators
    /// The whole program in its order.
    case sequence
  }

  /// Index of its last instruction, in the order of the program.
  package let instruction: Int
  package let macs: Int
  package let time: Duration
  package let path: Path
}
