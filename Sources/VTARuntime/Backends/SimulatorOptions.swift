package import VTA

/// How the simulator computes; what it computes is always the same.
package struct SimulatorOptions: Sendable {
  /// `nil`: the plain simulator.
  package var kernels: KernelSet?
  /// Cores that one run may use, at least 1.
  package var threads: Int

  package init(kernels: KernelSet? = KernelSet.available.first, threads: Int = 1) {
    self.kernels = kernels
    self.threads = threads
  }

  /// A simulator for a translated program, outside of any device.
  package func simulator(for program: TranslatedProgram) -> FastSimulator? {
    FastSimulator(
      target: program.target, kernels: program.kernels,
      executor: threads > 1 ? WorkerTeam(width: threads) : nil)
  }
}
