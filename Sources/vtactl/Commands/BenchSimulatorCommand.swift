internal import ArgumentParser
private import VTA
private import VTAModule
private import VTARuntime

/// `vtactl bench simulator`: multiply-accumulates per second, beside the most that the CPU's int8 dot product reaches.
struct BenchSimulatorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "simulator",
    abstract: "Times the fast simulator on recorded runs and modules.",
    discussion: """
      Medians. Recorded runs replay from memory as recorded; modules run on zeros, and only their programs on the \
      accelerator count. The peak is measured in the same run, from registers, on one core. Translation happens once \
      per module, when it is loaded.
      """)

  @Option(help: "Cores that one run may use.")
  var threads = 1

  @OptionGroup var kernels: KernelOption

  @Option(help: "Repetitions per file.")
  var repeats = 9

  @Flag(help: "Also time the plain simulator, once per file.")
  var plain = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  @Argument(help: "Recorded runs (.vtatrace) and modules (.vtab).")
  var files: [String]

  private struct Report: Encodable {
    struct Run: Encodable {
      let file: String
      let gmacs: Double
      let seconds: Double
      let translateSeconds: Double
      let plainGmacs: Double?

      enum CodingKeys: String, CodingKey {
        case file, gmacs, seconds
        case translateSeconds = "translate_seconds"
        case plainGmacs = "plain_gmacs"
      }
    }
    let peakGmacs: Double
    let kernels: String
    let threads: Int
    let runs: [Run]

    enum CodingKeys: String, CodingKey {
      case kernels, threads, runs
      case peakGmacs = "peak_gmacs"
    }
  }

  func validate() throws {
    guard repeats > 0 else { throw ValidationError("--repeats must be at least 1") }
    guard (1...64).contains(threads) else { throw ValidationError("--threads must lie in 1…64") }
  }

  func run() async throws {
    guard let set = try kernels.resolved() else { return }
    let options = SimulatorOptions(kernels: set, threads: threads)
    let peak = KernelSet.int8Peak(seconds: 0.2) / 1e9
    var runs: [Report.Run] = []
    for file in files {
      do {
        runs.append(
          file.hasSuffix(".vtatrace") ? try replay(file, options) : try await run(module: file, options))
      } catch let failure as Failure {
        throw failure
      } catch {
        throw Failure(file, error)
      }
    }
    let report = Report(peakGmacs: peak, kernels: set.name, threads: threads, runs: runs)
    if json { return try JSONOutput.print(report) }
    print("int8 peak of one core: \(tenths(peak)) GMAC/s; kernels \(set.name), threads \(threads)")
    for run in runs {
      var line = "\(run.file): \(tenths(run.gmacs)) GMAC/s"
      if peak > 0 { line += ", \(tenths(100 * run.gmacs / peak)) % of the peak" }
      line += ", \(tenths(run.seconds * 1e3)) ms, translated in \(tenths(run.translateSeconds * 1e3)) ms"
      if let plain = run.plainGmacs { line += ", plain simulator \(tenths(plain)) GMAC/s" }
      print(line)
    }
  }

  private func replay(_ file: String, _ options: SimulatorOptions) throws -> Report.Run {
    let run = try RecordedRun(try FileInput.read(file))
    guard let kernels = options.kernels else { throw Failure(file, "there are no kernels") }
    var translated: TranslatedProgram?
    let translation = try seconds { translated = try run.translation(kernels: kernels) }
    guard let translated else {
      throw Failure(file, "the fast simulator leaves this program to the plain one; there is nothing to time")
    }
    let memory = try run.memoryBefore()
    guard let simulator = options.simulator(for: translated) else {
      throw Failure(file, "there are no kernels for it")
    }
    let times = try (0..<repeats).map { _ in try seconds { try simulator.run(translated, memory: memory) } }
    var plainSeconds: Double?
    if plain {
      var simulator = try FunctionalSimulator(target: run.target)
      plainSeconds = try seconds {
        try simulator.run(
          instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory)
      }
    }
    return result(file, translated.macs, times, translation, plainSeconds)
  }

  private func run(module path: String, _ options: SimulatorOptions) async throws -> Report.Run {
    let module = try ModuleInput.read(path).file.module
    let c = module.target.configuration
    let set = try InstructionSet(configuration: c, revision: module.target.profile.revision)
    let steps = try module.programs.reduce(0) { sum, program in
      let instructions = try program.instructions.withUnsafeBytes { InstructionWords.stream($0) }
        .map { try set.decode($0) }
      return sum &+ ProgramStatistics(instructions, c).gemmSteps
    }
    let inputs = Dictionary(
      uniqueKeysWithValues: module.inputs.map { input in
        (input.name, Tensor([Float](repeating: 0, count: input.shape.reduce(1, *)), shape: input.shape))
      })
    func measure(_ options: SimulatorOptions, _ count: Int) async throws -> (load: Double, times: [Double]) {
      let worker = try DeviceWorker.open("sim", DeviceOptions(simulator: options))
      let start = ContinuousClock.now
      let model = try await worker.load(module)
      let load = Self.seconds(ContinuousClock.now - start)
      var times: [Double] = []
      for _ in 0..<count {
        times.append(Self.seconds(try await worker.run(model, inputs: inputs).timings.device))
      }
      await worker.shutdown()
      return (load, times)
    }
    let fast = try await measure(options, repeats)
    // What loading takes longer than with the plain simulator.
    let slow = try await measure(SimulatorOptions(kernels: nil), plain ? 1 : 0)
    return result(
      path, steps &* (c.batch * c.block * c.block), fast.times, max(0, fast.load - slow.load),
      slow.times.first)
  }

  private func result(
    _ file: String, _ macs: Int, _ times: [Double], _ translation: Double, _ plain: Double?
  ) -> Report.Run {
    let median = times.sorted()[times.count / 2]
    return Report.Run(
      file: file, gmacs: Double(macs) / max(median, 1e-9) / 1e9, seconds: median,
      translateSeconds: translation, plainGmacs: plain.map { Double(macs) / max($0, 1e-9) / 1e9 })
  }

  private func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return Self.seconds(ContinuousClock.now - start)
  }

  private static func seconds(_ duration: Duration) -> Double {
    Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  }

  private func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }
}
