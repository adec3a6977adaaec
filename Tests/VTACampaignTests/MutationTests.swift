import Foundation
import Testing
import VTACampaign

/// A short slice of `make mutate`, the same in every run.
@Suite struct MutationTests {
  private static let fixtures = SeedFiles.folder.deletingLastPathComponent()
  static let files = [
    "vectors/unit/test_gemm-000.vtatrace", "vectors/unit/test_relu-000.vtatrace",
    "fuzz/onnx/conv_channels_1_1", "fuzz/onnx/global_average_1x1",
  ]

  @Test(arguments: files)
  func everyAcceptedMutantIsHarmless(_ file: String) throws {
    var judge = Judge()
    judge.schedulesOfShort = 20
    judge.costMax = 1 << 26
    for subject in try Subjects.read([Self.fixtures.appending(path: file).path], seed: 1) {
      try #require(try subject.program.findings().isEmpty, "\(subject.program.name)")
      let counts = try Campaign(judge: judge, limit: 3, seed: 1).run(subject.program)
      #expect(counts.values.flatMap(\.harmful).isEmpty)
      let total = counts.values.reduce(Campaign.Count(), +)
      // Both verdicts exist, so that neither judge is asleep.
      #expect(total.refused > 0 && total.harmless > 0, "\(subject.program.name)")
    }
  }

  /// The judge by simulation finds what the verifier should have found: without it, mutants are harmful.
  @Test func theSimulationFindsHarm() throws {
    let file = Self.fixtures.appending(path: Self.files[0]).path
    let program = try #require(try Subjects.read([file], seed: 1).first).program
    var judge = Judge()
    judge.schedulesOfShort = 50
    judge.costMax = 1 << 26
    var mutations = try Mutations(program, seed: 1)
    var harmful: [String: Int] = [:]
    for mutant in mutations.mutants(limit: 16) {
      if case .harmful = try judge.outcome(of: mutant.program) { harmful[mutant.kind, default: 0] += 1 }
    }
    for kind in ["token flag", "dropped", "sram_base", "dram_base", "region shrunk", "swapped"] {
      #expect(harmful[kind, default: 0] > 0, "\(kind): \(harmful)")
    }
  }
}
