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
      Medians; with several threads, runs on one thread take turns with them. Recorded runs replay from memory as recorded; \
      modules run on zeros, and only their programs on the accelerator count. The peak is measured in the same run, from \
      registers, on one core. Translation happens once per module, when it is loaded; its memory is compared with the weights \
      as int8.
      """)

  @Option(help: "Cores that one run may use; 0: all.")
  var threads = 1

  @OptionGroup var kernels: KernelOption

  @Option(help: "Repetitions per file.")
  var repeats = 9

  @Flag(help: "Also time the plain simulator, once per file.")
  var plain = false

  @Flag(help: "Also list what the layers of modules take, on one thread.")
  var layers = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  @Argument(
    help: "Recorded runs (.vtatrace) and modules (.vtab).",
    completion: .file(extensions: ["vtatrace", "vtab"]))
  var files: [String]

  private struct Report: Encodable {
    struct Run: Encodable {
      let file: String
      let gmacs: Double
      let seconds: Double
      /// The shortest run.
      let bestSeconds: Double
      /// Times of the program on one thread, where `seconds` are those of several.
      let singleSeconds: Double?
      let bestSingleSeconds: Double?
      let translateSeconds: Double
      let translationBytes: Int
      let weightBytes: Int
      let plainGmacs: Double?
      let layers: [LayerTimes]?
    }
    let peakGmacs: Double
    let kernels: String
    let threads: Int
    let runs: [Run]
  }

  /// What one file gave.
  private struct Measurement {
    var figures: TranslatedProgram.Figures
    var translation: Double
    /// By number of threads: one, and what was asked for.
    var times: [[Double]]
    var plain: Double?
    var layers: [LayerTimes]?
  }

  func validate() throws {
    guard repeats > 0 else { throw ValidationError("--repeats must be at least 1") }
    guard (0...SimulatorOptions.threadsMax).contains(threads) else {
      throw ValidationError("--threads must lie in 0…\(SimulatorOptions.threadsMax)")
    }
  }

  func run() async throws {
    guard let set = try kernels.resolved() else { return }
    let options = SimulatorOptions(kernels: set, threads: threads)
    let peak = KernelSet.int8Peak(seconds: 0.2) / 1e9
    var runs: [Report.Run] = []
    for file in files {
      do {
        let measurement =
          file.hasSuffix(".vtatrace") ? try replay(file, set, options) : try await run(module: file, options)
        runs.append(report(file, measurement))
      } catch let failure as Failure {
        throw failure
      } catch {
        throw Failure(file, error)
      }
    }
    let report = Report(peakGmacs: peak, kernels: set.name, threads: options.threads, runs: runs)
    if json { return try JSONOutput.print(report) }
    print("int8 peak of one core: \(tenths(peak)) GMAC/s; kernels \(set.name), threads \(options.threads)")
    for run in runs {
      var line = "\(run.file): \(tenths(run.gmacs)) GMAC/s"
      if peak > 0 { line += ", \(tenths(100 * run.gmacs / peak)) % of the peak" }
      line += ", \((run.seconds * 1e3).hundredths) ms (best \((run.bestSeconds * 1e3).hundredths))"
      if let single = run.singleSeconds, let best = run.bestSingleSeconds {
        line += ", on one thread \((single * 1e3).hundredths) ms (best \((best * 1e3).hundredths))"
      }
      line += ", translated in \(tenths(run.translateSeconds * 1e3)) ms"
      if run.weightBytes > 0 {
        let share = Double(run.translationBytes) / Double(run.weightBytes)
        line += " into \(share.hundredths) times the weights' \(run.weightBytes) bytes"
      }
      if let plain = run.plainGmacs { line += ", plain simulator \(tenths(plain)) GMAC/s" }
      print(line)
      if let layers = run.layers { LayerTimes.printTable(layers) }
    }
  }

  /// The simulators to compare: one thread, and what was asked for.
  private func variants(_ options: SimulatorOptions) -> [SimulatorOptions] {
    options.threads > 1 ? [SimulatorOptions(kernels: options.kernels, threads: 1), options] : [options]
  }

  private func replay(_ file: String, _ kernels: KernelSet, _ options: SimulatorOptions) throws -> Measurement
  {
    let run = try RecordedRun(try FileInput.read(file))
    var translated: TranslatedProgram?
    let translation = try seconds { translated = try run.translation(kernels: kernels) }
    guard let translated else {
      throw Failure(file, "the fast simulator leaves this program to the plain one; there is nothing to time")
    }
    let memory = try run.memoryBefore()
    let simulators = variants(options).compactMap { $0.simulator(for: translated) }
    var times = [[Double]](repeating: [], count: simulators.count)
    for _ in 0..<repeats {
      for (index, simulator) in simulators.enumerated() {
        times[index].append(try seconds { try simulator.run(translated, memory: memory) })
      }
    }
    var plainSeconds: Double?
    if plain {
      var simulator = try FunctionalSimulator(target: run.target)
      plainSeconds = try seconds {
        try simulator.run(
          instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory)
      }
    }
    return Measurement(
      figures: translated.figures, translation: translation, times: times, plain: plainSeconds)
  }

  private func run(module path: String, _ options: SimulatorOptions) async throws -> Measurement {
    let module = try ModuleInput.read(path).file.module
    let inputs = Dictionary(
      uniqueKeysWithValues: module.inputs.map { input in
        (input.name, Tensor([Float](repeating: 0, count: input.shape.reduce(1, *)), shape: input.shape))
      })
    typealias Loaded = (worker: DeviceWorker, model: LoadedModel, seconds: Double)
    func load(_ options: SimulatorOptions) async throws -> Loaded {
      let worker = try DeviceWorker.open("sim", DeviceOptions(simulator: options))
      let start = ContinuousClock.now
      let model = try await worker.load(module)
      return (worker, model, Self.seconds(ContinuousClock.now - start))
    }
    func time(_ loaded: Loaded) async throws -> Double {
      Self.seconds(try await loaded.worker.run(loaded.model, inputs: inputs).timings.device)
    }
    var models: [Loaded] = []
    for variant in variants(options) { models.append(try await load(variant)) }
    let slow = try await load(SimulatorOptions(kernels: nil))
    var times = [[Double]](repeating: [], count: models.count)
    for _ in 0..<repeats {
      for (index, loaded) in models.enumerated() { times[index].append(try await time(loaded)) }
    }
    let plainSeconds = plain ? try await time(slow) : nil
    let figures = models[0].model.translation
    // What loading takes longer than with the plain simulator.
    var measurement = Measurement(
      figures: figures, translation: max(0, models[0].seconds - slow.seconds), times: times,
      plain: plainSeconds)
    if layers {
      var runs: [[[TaskTime]]] = []
      for _ in 0..<repeats { runs.append(try await models[0].worker.taskTimes(of: models[0].model)) }
      measurement.layers = LayerTimes.list(module, runs)
    }
    for worker in models.map(\.worker) + [slow.worker] { await worker.shutdown() }
    return measurement
  }

  private func report(_ file: String, _ measurement: Measurement) -> Report.Run {
    func median(_ times: [Double]) -> Double { times.sorted()[times.count / 2] }
    let times = measurement.times[measurement.times.count - 1]
    let single = measurement.times.count > 1 ? measurement.times[0] : nil
    let macs = Double(measurement.figures.macs)
    func rate(_ seconds: Double) -> Double { macs / max(seconds, 1e-9) / 1e9 }
    return Report.Run(
      file: file, gmacs: rate(median(times)), seconds: median(times), bestSeconds: times.min() ?? 0,
      singleSeconds: single.map(median), bestSingleSeconds: single?.min(),
      translateSeconds: measurement.translation, translationBytes: measurement.figures.byteCount,
      weightBytes: measurement.figures.weightBytes, plainGmacs: measurement.plain.map(rate),
      layers: measurement.layers)
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
