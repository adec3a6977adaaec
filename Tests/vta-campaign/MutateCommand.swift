internal import ArgumentParser
private import Foundation
private import Synchronization
private import VTA
private import VTACampaign

/// The mutation campaign: `make mutate`.
struct MutateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mutate",
    abstract: "Breaks programs one thing at a time and judges what the verifier accepts.",
    discussion: "Ends with 1 if a harmful mutant was accepted, or if the verifier refuses a compiled program."
  )

  @Option(help: "Mutants per program and kind.")
  var limit = 6

  @Option(help: "Random legal interleavings of an accepted mutant of up to 300 instructions.")
  var schedules = 1000

  @Option(help: "Of the random choices.")
  var seed: UInt64 = 1

  @Option(help: "Folder for a sample of the mutants as recorded runs, for another judge.")
  var sample: String?

  @Option(help: "Mutants of the sample per program and verdict.")
  var sampleLimit = 4

  @Argument(help: "Recorded runs and ONNX models; models are compiled for every target.")
  var files: [String]

  func run() throws {
    var judge = Judge()
    judge.schedulesOfShort = schedules
    let campaign = Campaign(judge: judge, limit: limit, seed: seed)
    var counts: [String: Campaign.Count] = [:]
    var alarms: [String] = []
    let start = ContinuousClock.now
    for subject in try Subjects.read(files, seed: seed) {
      let findings = try subject.program.findings()
      if let finding = findings.first {
        let line = "\(subject.program.name): \(findings.count) findings, \(finding)"
        Self.say("not mutated: \(line)")
        if subject.isCompiled { alarms.append(line) }
        continue
      }
      let sampler = try sample.map { try MutantSample(folder: $0, limit: sampleLimit, seed: seed) }
      let found = try campaign.run(subject.program) { sampler?.take($0) }
      try sampler?.write()
      counts.merge(found) { $0 + $1 }
      let total = found.values.reduce(Campaign.Count(), +)
      Self.say(
        "\(subject.program.name) (\(subject.program.target.description), \(subject.program.words.count) "
          + "instructions): \(total.mutants) mutants, \(total.refused) refused, "
          + "\(total.harmful.count) harmful accepted")
    }
    Self.say("")
    Self.say(Self.table(counts))
    Self.say("\(ContinuousClock.now - start)")
    let harmful = counts.values.flatMap(\.harmful)
    for line in harmful.prefix(40) { Self.say("HARMFUL: \(line)") }
    for line in alarms { Self.say("FALSE ALARM: \(line)") }
    if !harmful.isEmpty || !alarms.isEmpty { throw ExitCode.failure }
  }

  /// At once, even into a pipe: a campaign takes minutes.
  private static func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

  private static func table(_ counts: [String: Campaign.Count]) -> String {
    func line(_ name: String, _ count: Campaign.Count) -> String {
      let numbers = [
        count.mutants, count.refused, count.harmless, count.harmlessInFewOrders, count.harmful.count,
      ]
      return "| \(name) | " + numbers.map(String.init).joined(separator: " | ") + " |"
    }
    let total = counts.values.reduce(Campaign.Count(), +)
    return
      (["| broken | mutants | refused | accepted, harmless | harmless in few orders | accepted, harmful |"]
      + ["|---|---|---|---|---|---|"]
      + counts.keys.sorted().map { line($0, counts[$0] ?? Campaign.Count()) } + [line("all", total)])
      .joined(separator: "\n")
  }
}
