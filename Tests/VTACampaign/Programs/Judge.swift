private import VTA

/// What became of a mutant.
package enum Verdict: Hashable, Sendable {
  /// The verifier's first finding.
  case refused(String)
  /// Every schedule tried ended with the same memory.
  case harmless
  case harmful(String)
  /// Accepted, but its runs would take minutes.
  case tooSlow
}

/// Verifies a mutant, and runs what is accepted.
package struct Judge: Sendable {
  /// Random legal interleavings of the modules for programs of up to ``shortProgram`` instructions.
  package var schedulesOfShort = 1000
  package var schedulesOfLong = 20
  package static let shortProgram = 300
  /// Work of all runs of a mutant, in units of ``MachineProgram/cost(_:)``: some seconds.
  package var costMax = 1 << 32

  package init() {}

  package func verdict(_ program: MachineProgram) throws -> Verdict {
    if let finding = try program.findings().first { return .refused(finding.description) }
    return try outcome(of: program)
  }

  /// By simulation alone.
  package func outcome(of program: MachineProgram) throws -> Verdict {
    let set = try InstructionSet(
      configuration: program.target.configuration, revision: program.target.profile.revision)
    let schedules = program.words.count <= Self.shortProgram ? schedulesOfShort : schedulesOfLong
    guard program.cost(set) <= costMax / (schedules + 1) else { return .tooSlow }
    var machine = try Machine(program)
    let expected = try machine.run()
    if case .failed(let reason) = expected { return .harmful(reason) }
    for seed in 0..<UInt64(schedules) {
      let outcome = try machine.run(.seeded(seed))
      if case .failed(let reason) = outcome { return .harmful("schedule \(seed): \(reason)") }
      if outcome != expected { return .harmful("schedule \(seed) leaves other bytes than the file's order") }
    }
    return .harmless
  }
}
