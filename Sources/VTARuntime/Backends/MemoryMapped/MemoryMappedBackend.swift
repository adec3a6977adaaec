internal import Logging
internal import VTA

/// An accelerator behind registers that are mapped into this process, with memory that both share.
final class MemoryMappedBackend: DeviceBackend {
  /// What the driver is made of.
  struct Parts {
    var board: Board
    var target: Target
    let kernel: any Kernel
    let memory: any ContiguousMemory
    let headroom: CMAHeadroom
    /// What the FPGA is configured with, if we may do that; it is the one sure way to stop a run.
    var bitstream: Bitstream?
    /// Added to what the slowest hardware takes for a program, before the accelerator counts as stuck.
    let stallLimit: Duration
    let logger: Logger
    /// Finds the registers, again after the FPGA was configured.
    let bind: (Board) throws(DeviceError) -> DeviceRegisters
  }

  private var parts: Parts
  private var control: RunControl
  private let memory: DeviceMemory
  private var selfTest: SelfTest
  private let coherencyReason: String
  private var path: String
  private var longestRuns: [DeviceAddress: Duration] = [:]

  /// Configures the FPGA if there is a bitstream, and runs the self-test, which decides how CPU and accelerator share
  /// memory.
  /// - Throws: ``DeviceError``; the accelerator must not be used then.
  init(_ parts: Parts) throws(DeviceError) {
    self.parts = parts
    selfTest = try SelfTest(target: parts.target)
    let registers = try Self.powerUp(parts)
    path = registers.path
    control = RunControl(registers, on: parts.kernel)
    (memory, coherencyReason) = try Self.sharedMemory(parts, selfTest, control)
  }

  var fixedTarget: Target? { parts.target }
  var window: Range<UInt64> { parts.board.memory.deviceWindow }

  var hardware: DeviceDescription.Hardware? {
    DeviceDescription.Hardware(
      board: parts.board.name, registers: path, memory: parts.memory.name,
      memoryBytes: parts.memory.byteCount, coherency: memory.coherency, coherencyReason: coherencyReason)
  }

  func prepare(for target: Target) throws(DeviceError) {
    guard parts.target.accepts(target) else { throw .wrongTarget(device: parts.target, module: target) }
  }

  // MARK: Memory

  func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress] {
    try memory.allocate(byteCounts)
  }

  func free(_ arena: [DeviceAddress]) {
    guard let start = arena.first else { return }
    for address in arena { longestRuns[address] = nil }
    memory.free(start)
  }

  func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError) {
    try memory.copyIn(bytes, to: address)
  }

  func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8] {
    try memory.copyOut(from: address, byteCount: byteCount)
  }

  func seal(_ address: DeviceAddress) {}

  // MARK: Runs

  func adopt(program: DeviceAddress, _ words: [InstructionWords]) {
    let target = parts.target
    guard
      let set = try? InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    else { return }
    let statistics = ProgramStatistics(words.compactMap { try? set.decode($0) }, target.configuration)
    longestRuns[program] = Self.longestRun(statistics, megahertz: parts.board.clockMegahertz)
  }

  /// No hardware takes longer: twice the slowest known cycle counts (reference/vta-hardware.md, section 5.6), short loops
  /// and single-byte transfers included.
  private static func longestRun(_ statistics: ProgramStatistics, megahertz: Int) -> Duration {
    let bytes = statistics.dramBytes.values.reduce(0.0) { $0 + Double($1) }
    let steps = Double(statistics.gemmSteps) + Double(statistics.aluSteps)
    let cycles = 32 * steps + 8 * bytes + 1024 * Double(statistics.instructions)
    return .microseconds(min(max(0, cycles / Double(megahertz)), 3_600e6))
  }

  /// The deadline is looked at before the start: a program that runs can only be stopped by a reset, which costs more
  /// than to let it end.
  func run(
    instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
  ) throws(DeviceError) {
    if let deadline, ContinuousClock.now >= deadline { throw .deadlineExceeded }
    try control.run(
      instructions: instructions, count: count, longest: longestRuns[instructions] ?? .zero,
      grace: parts.stallLimit)
  }

  // MARK: Power-up and reset

  /// The FPGA configured, if that is ours to do, and its registers found.
  private static func powerUp(_ parts: Parts) throws(DeviceError) -> DeviceRegisters {
    let fpga = FPGA(parts.board, on: parts.kernel)
    do throws(FPGAError) {
      if let bitstream = parts.bitstream {
        for note in try fpga.program(bitstream) { parts.logger.warning("FPGA: \(note)") }
      }
      try fpga.checkAccess()
    } catch {
      throw .fpga(error)
    }
    return try parts.bind(parts.board)
  }

  /// Without a bitstream there is no reset; then only an accelerator that is at rest may be tried again.
  func reset() throws(DeviceError) {
    if parts.bitstream == nil { try control.checkAtRest() }
    let registers = try Self.powerUp(parts)
    path = registers.path
    control = RunControl(registers, on: parts.kernel)
    let verdict = try Self.run(selfTest, parts, control, code: memory, data: memory)
    guard verdict == .passed else {
      throw .selfTestFailed(
        reason: "after the reset, \(memory.coherency.rawValue) memory: \(verdict.description)")
    }
  }

  func configure(_ bitstream: Bitstream, as known: KnownBitstream) throws(DeviceError) {
    let (partsBefore, testBefore) = (parts, selfTest)
    do throws(DeviceError) {
      parts.board = parts.board.configured(with: known)
      parts.target = known.target
      parts.bitstream = bitstream
      selfTest = try SelfTest(target: known.target)
      try reset()
    } catch {
      (parts, selfTest) = (partsBefore, testBefore)
      throw error
    }
  }

  // MARK: How memory is shared

  private static func sharedMemory(
    _ parts: Parts, _ test: SelfTest, _ control: RunControl
  ) throws(DeviceError) -> (DeviceMemory, reason: String) {
    func memory(_ mode: Coherency) -> DeviceMemory {
      DeviceMemory(parts.memory, mode, window: parts.board.memory, headroom: parts.headroom)
    }
    // Instructions are handed over whatever is tested: stale ones would be garbage that nobody verified.
    let modes = parts.memory.modes
    let safest = modes.first { $0 == .synchronised } ?? modes.first ?? .uncached
    var findings: [String] = []
    for mode in modes {
      let data = memory(mode)
      let code = mode == .coherent ? memory(safest) : data
      let verdict = try run(test, parts, control, code: code, data: data)
      findings.append("\(mode.rawValue) memory: \(verdict.description)")
      if verdict == .passed { return (data, findings.joined(separator: "; ")) }
    }
    throw .selfTestFailed(
      reason: "\(findings.joined(separator: "; ")) (\(parts.memory.name)); "
        + "is the FPGA configured as \(parts.target.description)?")
  }

  private static func run(
    _ test: SelfTest, _ parts: Parts, _ control: RunControl, code: DeviceMemory, data: DeviceMemory
  ) throws(DeviceError) -> SelfTest.Verdict {
    try test.run(code: code, data: data, window: parts.board.memory.deviceWindow) {
      (program, count) throws(DeviceError) in
      try control.run(
        instructions: program, count: count, longest: SelfTest.longestRun, grace: parts.stallLimit)
    }
  }
}

extension Board.Memory {
  /// The reachable memory, as the accelerator counts.
  fileprivate var deviceWindow: Range<UInt64> { deviceOffset..<deviceOffset + limit.rawValue }
}
