private import Glibc
package import VTA

/// How the simulator computes; what it computes is always the same.
package struct SimulatorOptions: Sendable {
  /// `nil`: the plain simulator.
  package var kernels: KernelSet?
  /// Cores that one run may use, at least 1.
  package let threads: Int

  package static let threadsMax = 64

  /// - Parameter threads: 0: as many as the machine has cores.
  package init(kernels: KernelSet? = KernelSet.available.first, threads: Int = 1) {
    self.kernels = kernels
    self.threads = min(max(1, threads > 0 ? threads : sysconf(CInt(_SC_NPROCESSORS_ONLN))), Self.threadsMax)
  }

  /// A simulator for a translated program, outside of any device.
  ///
  /// - Parameter sharesAll: even programs that are too small to gain from several threads.
  package func simulator(for program: TranslatedProgram, sharesAll: Bool = false) -> FastSimulator? {
    FastSimulator(
      target: program.target, kernels: program.kernels,
      executor: threads > 1 ? WorkerTeam(width: threads) : nil, sharesAll: sharesAll)
  }
}
