internal import ArgumentParser
private import VTA

/// `vtactl trace`: recorded runs of the accelerator.
struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace", abstract: "Works with recorded runs (.vtatrace).",
    subcommands: [Check.self, Verify.self])

  /// Prints `FILE: ok` or `FILE: differs at 0xADDRESS` per file.
  struct Check: ParsableCommand {
    enum Simulator: String, CaseIterable, ExpressibleByArgument {
      case plain, fast
    }

    static let configuration = CommandConfiguration(
      abstract: "Replays recorded runs under the profile named in each file and compares memory after them.")

    @Option(help: "Which simulator replays.")
    var simulator = Simulator.fast

    @OptionGroup var kernels: KernelOption

    @Flag(help: "Also list what each run does on which implementations differ; by the plain simulator.")
    var strict = false

    @Flag(help: "Print the result as JSON.")
    var json = false

    @Argument(help: "Recorded runs.", completion: .file(extensions: ["vtatrace"]))
    var files: [String]

    private struct Result: Encodable {
      let file: String
      let ok: Bool
      /// `0x…`; absent if memory is as recorded.
      let differsAt: String?
      let observations: [String]

      func printText() {
        for observation in observations { print("\(file): \(observation)") }
        print("\(file): \(differsAt.map { "differs at \($0)" } ?? "ok")")
      }
    }

    func run() throws {
      var results: [Result] = []
      for file in files {
        let result = try replay(file)
        if !json { result.printText() }
        results.append(result)
      }
      if json { try JSONOutput.print(results) }
      if results.contains(where: { !$0.ok }) { throw ExitCode.failure }
    }

    private func replay(_ file: String) throws -> Result {
      do {
        let run = try RecordedRun(try FileInput.read(file))
        let memory = try run.memoryBefore()
        let observations = try replay(run, memory)
        let difference = try run.firstDifference(memory)
        return Result(
          file: file, ok: difference == nil, differsAt: difference.map { "0x" + String($0, radix: 16) },
          observations: observations.map { "\($0)" })
      } catch let failure as Failure {
        throw failure
      } catch {
        throw Failure(file, error)
      }
    }

    /// What the fast simulator leaves to the plain one runs there.
    private func replay(
      _ run: RecordedRun, _ memory: SimulatedMemory
    ) throws -> [PortabilityMonitor.Observation] {
      if simulator == .fast, !strict, let kernels = try kernels.resolved(),
        let program = try run.translation(kernels: kernels),
        let simulator = FastSimulator(target: run.target, kernels: kernels)
      {
        try simulator.run(program, memory: memory)
        return []
      }
      var simulator = try FunctionalSimulator(target: run.target, isStrict: strict)
      try simulator.run(
        instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory)
      return simulator.observations
    }
  }

  /// Prints `FILE: ok` or the findings of each file.
  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Checks recorded programs as loading a module would, against the memory recorded with them.",
      discussion: "Exits with 1 if there are findings.")

    @Flag(help: "Print the result as JSON.")
    var json = false

    @Argument(help: "Recorded runs.", completion: .file(extensions: ["vtatrace"]))
    var files: [String]

    func run() throws {
      let reports = try files.map { file in
        VerificationReport(file: file, findings: try findings(file).map { .init(program: nil, $0) })
      }
      try VerificationReport.print(reports, json: json ? reports : nil)
    }

    private func findings(_ file: String) throws -> [ProgramVerifier.Finding] {
      do {
        return try RecordedRun(try FileInput.read(file)).findings()
      } catch let failure as Failure {
        throw failure
      } catch {
        throw Failure(file, error)
      }
    }
  }
}
