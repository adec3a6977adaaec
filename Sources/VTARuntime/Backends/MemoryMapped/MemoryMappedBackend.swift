internal import VTA

/// An accelerator behind registers that are mapped into this process, with memory that both share.
final class MemoryMappedBackend: DeviceBackend {
  /// What the driver is made of; everything in it is open.
  struct Parts {
    let board: Board
    let target: Target
    let kernel: any Kernel
    let registers: DeviceRegisters
    let memory: any ContiguousMemory
    let headroom: CMAHeadroom
    /// Added to what the slowest hardware takes for a program, before the accelerator counts as stuck.
    let stallLimit: Duration
  }

  private let parts: Parts
  private let control: RunControl
  private let memory: DeviceMemory
  private let coherencyReason: String
  private var limits: [DeviceAddress: Duration] = [:]

  /// Runs the self-test, which decides how CPU and accelerator share memory.
  /// - Throws: ``DeviceError``; the accelerator must not be used then.
  init(_ parts: Parts) throws(DeviceError) {
    self.parts = parts
    control = RunControl(parts.registers, on: parts.kernel)
    (memory, coherencyReason) = try Self.sharedMemory(parts, control)
  }

  var fixedTarget: Target? { parts.target }
  var window: Range<UInt64> { Self.window(parts) }

  private static func window(_ parts: Parts) -> Range<UInt64> {
    let memory = parts.board.memory
    return memory.deviceOffset..<memory.deviceOffset + memory.limit.rawValue
  }

  var hardware: DeviceDescription.Hardware? {
    DeviceDescription.Hardware(
      board: parts.board.name, registers: parts.registers.path, memory: parts.memory.name,
      memoryBytes: parts.memory.byteCount, coherency: memory.coherency, coherencyReason: coherencyReason)
  }

  func prepare(for target: Target) throws(DeviceError) {
    guard parts.target.accepts(target) else { throw .wrongTarget(device: parts.target, module: target) }
  }

  func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress] {
    try memory.allocate(byteCounts)
  }

  func free(_ arena: [DeviceAddress]) {
    guard let start = arena.first else { return }
    for address in arena { limits[address] = nil }
    memory.free(start)
  }

  func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError) {
    try memory.copyIn(bytes, to: address)
  }

  func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8] {
    try memory.copyOut(from: address, byteCount: byteCount)
  }

  func seal(_ address: DeviceAddress) {}

  func adopt(program: DeviceAddress, _ words: [InstructionWords]) {
    let target = parts.target
    guard
      let set = try? InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    else { return }
    let statistics = ProgramStatistics(words.compactMap { try? set.decode($0) }, target.configuration)
    limits[program] = Self.longestRun(statistics, megahertz: parts.board.clockMegahertz)
  }

  /// The deadline is looked at before the start: a program that runs can only be stopped by a reset, which costs more
  /// than to let it end.
  func run(
    instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
  ) throws(DeviceError) {
    if let deadline, parts.kernel.now >= deadline { throw .deadlineExceeded }
    try run(instructions, count, limit: parts.stallLimit + (limits[instructions] ?? .zero))
  }

  private func run(_ instructions: DeviceAddress, _ count: UInt32, limit: Duration) throws(DeviceError) {
    // The loader has patched addresses in the same memory; none is beyond 32 bits.
    guard let address = UInt32(exactly: instructions.rawValue) else {
      throw .badAccess(
        address: instructions, byteCount: UInt64(count) * UInt64(Limits.instructionBytes),
        reason: "it is beyond the 4 GiB that the accelerator reaches")
    }
    try control.run(instructions: address, count: count, until: parts.kernel.now + limit)
  }

  func reset() throws(DeviceError) {
    throw .failed(reason: "this board can't be reset")
  }

  /// No hardware takes longer: twice the slowest known cycle counts (reference/vta-hardware.md, section 5.6), short loops
  /// and single-byte transfers included.
  private static func longestRun(_ statistics: ProgramStatistics, megahertz: Int) -> Duration {
    let bytes = statistics.dramBytes.values.reduce(0.0) { $0 + Double($1) }
    let steps = Double(statistics.gemmSteps) + Double(statistics.aluSteps)
    let cycles = 32 * steps + 8 * bytes + 1024 * Double(statistics.instructions)
    return .microseconds(min(cycles / Double(megahertz), 3_600e6))
  }

  // MARK: How memory is shared

  private static func sharedMemory(
    _ parts: Parts, _ control: RunControl
  ) throws(DeviceError) -> (DeviceMemory, reason: String) {
    let test = try SelfTest(target: parts.target)
    func memory(_ mode: Coherency) -> DeviceMemory {
      DeviceMemory(parts.memory, mode, window: parts.board.memory, headroom: parts.headroom)
    }
    // Instructions are handed over whatever is tested: stale ones would be garbage that nobody verified.
    let safest = parts.memory.modes.first { $0 == .synchronised } ?? parts.memory.modes.first ?? .uncached
    var findings: [String] = []
    for mode in parts.memory.modes {
      let data = memory(mode)
      let code = mode == .coherent ? memory(safest) : data
      let verdict = try test.run(code: code, data: data, window: window(parts)) {
        (program, count) throws(DeviceError) in
        let limit = parts.kernel.now + parts.stallLimit
        guard let address = UInt32(exactly: program.rawValue) else {
          throw .memoryUnusable(name: parts.memory.name, reason: "\(program) is beyond 4 GiB")
        }
        try control.run(instructions: address, count: count, until: limit)
      }
      switch verdict {
      case .passed:
        findings.append("\(mode.rawValue) memory passed the self-test")
        return (data, findings.joined(separator: "; "))
      case .wrong(let bytes, let count):
        findings.append("\(mode.rawValue) memory: \(bytes) of \(count) bytes were wrong")
      }
    }
    throw .selfTestFailed(
      reason: "\(findings.joined(separator: "; ")) (\(parts.memory.name)); "
        + "is the bitstream one for \(parts.target.description)?")
  }
}
