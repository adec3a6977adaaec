import Testing
import VTA
import VTACampaign

/// A short slice of `make simulate`, the same in every run.
@Suite struct SimulatorTests {
  @Test(arguments: LayerProgram.configurations)
  func randomLayersEqualThePlainSimulator(_ name: String) throws {
    let configuration = try HardwareConfiguration(name: name)
    let comparison = SimulatorComparison()
    var count = SimulatorComparison.Count()
    for seed in 0..<25 as Range<UInt64> { try comparison.compare(configuration, seed: seed, into: &count) }
    #expect(count.differences.isEmpty, "\(count.differences.prefix(5))")
    // The interesting ways are taken: tasks, and fused ones where outputs have eight bits.
    #expect(count.tasks * 3 > count.runs, "\(count)")
    #expect(configuration.outBits < 8 || count.fused * 5 > count.runs, "\(count)")
  }

  /// Maxima of what is still in the accumulator: fused in two stages, or rightly not.
  @Test(arguments: LayerProgram.configurations)
  func maximaOfSumsEqualThePlainSimulator(_ name: String) throws {
    let configuration = try HardwareConfiguration(name: name)
    let comparison = SimulatorComparison()
    var count = SimulatorComparison.Count()
    for seed in 0..<40 as Range<UInt64> {
      try comparison.compare(configuration, seed: seed, isPooled: true, into: &count)
    }
    #expect(count.differences.isEmpty, "\(count.differences.prefix(5))")
    // No program here is fused in another way.
    #expect(configuration.outBits < 8 || count.fused * 10 > count.runs, "\(count)")
  }
}
