internal import ArgumentParser
private import VTA
private import VTAModule
private import VTARuntime

/// `vtactl bench`: how fast parts of the product are on this machine.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measures parts of the product on this machine.",
    subcommands: [BenchSimulatorCommand.self, Verifier.self, BenchServiceCommand.self])

  /// Prints instructions per second, the median of several repetitions, per file.
  struct Verifier: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Times the program verifier on modules and recorded runs.")

    @Option(help: "Repetitions per file.")
    var repeats = 9

    @Flag(help: "Print the result as JSON.")
    var json = false

    @Argument(
      help: "Modules (.vtab) and recorded runs (.vtatrace).",
      completion: .file(extensions: ["vtatrace", "vtab"]))
    var files: [String]

    private struct Report: Encodable {
      struct Run: Encodable {
        let file: String
        let instructions: Int
        let findings: Int
        let seconds: Double
        let instructionsPerSecond: Double

        enum CodingKeys: String, CodingKey {
          case file, instructions, findings, seconds
          case instructionsPerSecond = "instructions_per_second"
        }
      }
      let runs: [Run]
    }

    func validate() throws {
      guard repeats > 0 else { throw ValidationError("--repeats must be at least 1") }
    }

    func run() throws {
      let report = Report(runs: try files.map(measure))
      if json { return try JSONOutput.print(report) }
      for run in report.runs {
        let rate = Int(run.instructionsPerSecond.rounded())
        let time = Int((run.seconds * 1e6).rounded())
        print("\(run.file): \(run.instructions) instructions in \(time) µs, \(rate) per second")
      }
    }

    private func measure(_ file: String) throws -> Report.Run {
      do {
        if file.hasSuffix(".vtatrace") {
          let program = try RecordedRun(try FileInput.read(file)).verification()
          return try measure(file, program.words.count) { try program.findings().count }
        }
        let module = try ModuleInput.read(file).file.module
        let count = module.programs.reduce(0) { $0 + $1.instructions.count / Limits.instructionBytes }
        return try measure(file, count) { ModuleVerification.findings(in: module).count }
      } catch let failure as Failure {
        throw failure
      } catch {
        throw Failure(file, error)
      }
    }

    private func measure(_ file: String, _ count: Int, _ body: () throws -> Int) throws -> Report.Run {
      var seconds: [Double] = []
      var findings = 0
      for _ in 0..<repeats {
        let start = ContinuousClock.now
        findings = try body()
        let elapsed = (ContinuousClock.now - start).components
        seconds.append(Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18)
      }
      let median = seconds.sorted()[seconds.count / 2]
      return Report.Run(
        file: file, instructions: count, findings: findings, seconds: median,
        instructionsPerSecond: Double(count) / max(median, 1e-9))
    }
  }
}
