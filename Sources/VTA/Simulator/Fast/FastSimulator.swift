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
}
