private import VTA

extension FuzzedDecoder {
  /// Work that one execution may ask of the simulator; a legal program may ask for hours.
  private static let costMax = 1 << 22
  private static let memoryMax: UInt64 = 1 << 22

  /// Instruction streams, as ``CompactProgram`` lays them out.
  static let program = FuzzedDecoder(name: "program") { bytes in
    guard let program = CompactProgram.decode(bytes) else { return nil }
    return run(program)
  }

  /// Recorded runs (`.vtatrace`).
  static let recordedRun = FuzzedDecoder(name: "trace") { bytes in
    guard let run = try? RecordedRun(bytes) else { return nil }
    var total: UInt64 = 0
    for segment in run.segments {
      let (sum, overflow) = total.addingReportingOverflow(segment.byteCount)
      guard !overflow, sum <= memoryMax else { return nil }
      total = sum
    }
    guard let program = try? MachineProgram(name: "fuzzed", run) else { return nil }
    return Self.run(program)
  }

  /// What the verifier accepts must run to its end.
  private static func run(_ program: MachineProgram) -> String? {
    guard
      let set = try? InstructionSet(
        configuration: program.target.configuration, revision: program.target.profile.revision),
      let findings = try? program.findings(), findings.isEmpty, program.cost(set) <= costMax
    else { return nil }
    do {
      var machine = try Machine(program)
      if case .failed(let reason) = try machine.run() {
        return "a program that the verifier accepts fails: \(reason)"
      }
    } catch {
      return "a program that the verifier accepts can't be run: \(error)"
    }
    return nil
  }
}
