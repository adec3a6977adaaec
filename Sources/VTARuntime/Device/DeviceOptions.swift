package import Logging
internal import VTA

/// How devices are opened, beyond their names.
package struct DeviceOptions: Sendable {
  /// What becomes of a request that the accelerator failed twice.
  package enum OnFailure: String, Hashable, Sendable, CaseIterable {
    case error
    /// The simulator answers it, and its answer says so.
    case simulator
  }

  package var simulator = SimulatorOptions()
  /// What the driver runs on.
  package var kernel: any Kernel = LinuxKernel()
  /// The kernel of a board that is simulated; `nil`: this program has none.
  package var simulatedBoard: (@Sendable (Board) throws(DeviceError) -> any Kernel)?
  /// Name or `FILE.json`; `nil`: the device tree says it.
  package var board: String?
  /// What the FPGA is configured as, a target's name or `FILE.json`; `nil`: what the board's bitstream usually is.
  package var target: String?
  package var memory = MemoryChoice.any
  /// A file to configure the FPGA with, at the start and after a failure; `nil`: it is left as it is.
  package var bitstream: String?
  /// No simulator instead of a board.
  package var requiresHardware = false
  package var onFailure = OnFailure.error
  /// Added to the longest time that hardware takes for a program; then the accelerator counts as stuck.
  package var stallLimit = Duration.seconds(2)
  package var logger = Logger(label: "vta") { _ in SwiftLogNoOpLogHandler() }

  package init() {}

  package init(simulator: SimulatorOptions) { self.simulator = simulator }
}
