internal import ArgumentParser
private import VTA
private import VTACampaign

/// Random programs on the fast simulator against the plain one: `make simulate`.
struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Runs random programs on the fast simulator, all kernels, and compares with the plain one.",
    discussion: "Ends with 1 if a single byte differs.")

  @Option(help: "Instructions to run at least, each under every kernel set and on two cores.")
  var instructions = 1_000_000

  @Option(help: "Of the first program; the next ones count on.")
  var seed: UInt64 = 1

  func run() throws {
    let configurations = try LayerProgram.configurations.map { try HardwareConfiguration(name: $0) }
    let comparison = SimulatorComparison()
    var count = SimulatorComparison.Count()
    var seed = seed
    while count.instructions < instructions && count.differences.count < 20 {
      for configuration in configurations {
        try comparison.compare(configuration, seed: seed, isPooled: seed % 3 == 0, into: &count)
      }
      seed += 1
    }
    print(
      "\(count.programs) programs, \(count.instructions) instructions, \(count.runs) fast runs: \(count.tasks) as tasks, "
        + "\(count.fused) of them with fused ones; \(count.refused) left to the plain simulator")
    for difference in count.differences { print("DIFFERS: \(difference)") }
    if !count.differences.isEmpty { throw ExitCode.failure }
  }
}
