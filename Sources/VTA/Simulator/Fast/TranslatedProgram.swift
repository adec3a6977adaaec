/// A program whose instructions have been decoded, bounds checked and turned into calls of kernels.
package final class TranslatedProgram {
  enum Body {
    case tasks(TaskGraph)
    case sequence(OperationSequence)
  }

  package let target: Target
  package let kernels: KernelSet
  let body: Body
  package let figures: Figures

  /// What a translation is; for benchmarks and tests.
  package struct Figures: Sendable {
    /// Multiply-accumulates of all GEMM steps, resets excluded.
    package var macs = 0
    /// Memory of the translation: packed weights, lists of calls, and the inputs of one core.
    package var byteCount = 0
    /// Constant weights that the program loads, as int8, each counted once.
    package var weightBytes = 0
    /// Tasks, and how many of them never put accumulators into memory; 0 if the program runs in order.
    package var tasks = 0
    package var fusedTasks = 0

    package init(
      macs: Int = 0, byteCount: Int = 0, weightBytes: Int = 0, tasks: Int = 0, fusedTasks: Int = 0
    ) {
      self.macs = macs
      self.byteCount = byteCount
      self.weightBytes = weightBytes
      self.tasks = tasks
      self.fusedTasks = fusedTasks
    }

    package static func + (first: Figures, second: Figures) -> Figures {
      Figures(
        macs: first.macs &+ second.macs, byteCount: first.byteCount + second.byteCount,
        weightBytes: first.weightBytes + second.weightBytes, tasks: first.tasks + second.tasks,
        fusedTasks: first.fusedTasks + second.fusedTasks)
    }
  }

  init(target: Target, kernels: KernelSet, body: Body, macs: Int, constantTiles: Int) {
    self.target = target
    self.kernels = kernels
    self.body = body
    let c = target.configuration
    var figures = Figures(macs: macs, weightBytes: constantTiles * c.block * c.block)
    switch body {
    case .tasks(let graph):
      figures.byteCount = graph.byteCount + graph.inputElements * c.batch * c.block
      figures.tasks = graph.tasks.count
      figures.fusedTasks = graph.fusedCount
    case .sequence(let sequence): figures.byteCount = sequence.byteCount
    }
    self.figures = figures
  }
}
