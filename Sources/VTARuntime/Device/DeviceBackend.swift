package import VTA

/// What an accelerator offers to the runtime: memory, a way to fill and read it, and runs.
///
/// A backend lives on one thread (``DeviceWorker``) and is called from there only. It may throw at any call; after a
/// failed run the device is reset before anything else runs.
package protocol DeviceBackend: AnyObject {
  /// The target that the device is, `nil` if it takes on that of each module.
  var fixedTarget: Target? { get }
  /// Addresses that programs may name.
  var window: Range<UInt64> { get }
  /// `nil`: there is none, all of it is simulated.
  var hardware: DeviceDescription.Hardware? { get }

  /// Makes the device run programs of this target; a fixed device refuses any other than its own.
  func prepare(for target: Target) throws(DeviceError)

  /// An arena: memory for each of these sizes, all or nothing. Each starts on ``Limits/regionAlignment`` and holds zeros.
  func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress]
  /// Takes back all that one call of ``allocate(_:)`` gave out.
  func free(_ arena: [DeviceAddress])

  func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError)
  func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8]

  /// The memory at this address keeps its contents until it is freed: constants, micro-ops, programs. Programs only read
  /// it.
  func seal(_ address: DeviceAddress)
  /// A checked program is in place, its constants and itself sealed; it will run many times.
  func adopt(program: DeviceAddress, _ words: [InstructionWords])
  /// What a simulator made of an adopted program; `nil` if there is nothing to tell.
  func figures(of program: DeviceAddress) -> TranslatedProgram.Figures?

  /// Runs an adopted program part by part and says what each took; empty if there is nothing to tell.
  func taskTimes(of program: DeviceAddress) throws(DeviceError) -> [TaskTime]

  /// Runs `count` instructions at `instructions` until FINISH. A backend that can't stop a run at the deadline must
  /// at least not start one after it.
  func run(
    instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
  ) throws(DeviceError)

  /// Brings the device back to the state after power-up; memory may have lost its contents.
  func reset() throws(DeviceError)

  /// Makes another accelerator of the FPGA, tested as after power-up; memory may have lost its contents. If it fails,
  /// ``reset()`` brings back the one before.
  func configure(_ bitstream: Bitstream, as known: KnownBitstream) throws(DeviceError)
}

extension DeviceBackend {
  package var window: Range<UInt64> { ProgramVerifier.wholeWindow }
  package var hardware: DeviceDescription.Hardware? { nil }
  package func figures(of program: DeviceAddress) -> TranslatedProgram.Figures? { nil }
  package func taskTimes(of program: DeviceAddress) throws(DeviceError) -> [TaskTime] { [] }
  package func configure(_ bitstream: Bitstream, as known: KnownBitstream) throws(DeviceError) {
    throw .bitstreamUnusable(reason: "there is no FPGA")
  }
}

extension Target {
  /// Whether a module for `other` runs here: the board's name doesn't matter, what it can do does.
  func accepts(_ other: Target) -> Bool {
    configuration == other.configuration && profile == other.profile
  }
}
