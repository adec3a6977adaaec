private import VTA

/// What became of a mutant.
package enum Verdict: Hashable, Sendable {
  /// The verifier's first finding.
  case refused(String)
  /// Every schedule tried ended with the same memory.
  case harmless
  case harmful(String)
  /// Harmless too, but a run takes so long that only a few schedules were tried.
  case harmlessInFewOrders
}

/// Verifies a mutant, and runs what is accepted.
package struct Judge: Sendable {
  /// Random legal interleavings of the modules for programs of up to ``shortProgram`` instructions.
  package var schedulesOfShort = 1000
  package var schedulesOfLong = 20
  package static let shortProgram = 300
  private static let schedulesAtLeast = 3
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
    let affordable = costMax / max(1, program.cost(set)) - 1
    let tried = min(schedules, max(Self.schedulesAtLeast, affordable))
    var machine = try Machine(program)
    let expected = try machine.run()
    if case .failed(let reason) = expected { return .harmful(reason) }
    for seed in 0..<UInt64(tried) {
      let outcome = try machine.run(.seeded(seed))
      if case .failed(let reason) = outcome { return .harmful("schedule \(seed): \(reason)") }
      if outcome != expected { return .harmful("schedule \(seed) leaves other bytes than the file's order") }
    }
    return tried < schedules ? .harmlessInFewOrders : .harmless
  }
}
