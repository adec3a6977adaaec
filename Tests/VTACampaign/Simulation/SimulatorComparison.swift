package import VTA
private import VTARuntime

/// Random programs on the fast simulator, with every kernel set and on two cores, against the plain one.
package struct SimulatorComparison {
  package struct Count: Sendable {
    package var programs = 0
    package var instructions = 0
    /// Runs of the fast simulator that were compared, and what of them ran as tasks, with fused ones among them.
    package var runs = 0
    package var tasks = 0
    package var fused = 0
    /// What the fast simulator leaves to the plain one.
    package var refused = 0
    /// The first byte of each difference found.
    package var differences: [String] = []

    package init() {}
  }

  private let simulators: [SimulatorOptions]

  package init() {
    simulators =
      KernelSet.available.map { SimulatorOptions(kernels: $0) }
      + KernelSet.available.prefix(1).map { SimulatorOptions(kernels: $0, threads: 2) }
  }

  /// One program for each profile that can have the configuration.
  ///
  /// - Parameter isPooled: with a maximum at the end of every tile.
  package func compare(
    _ configuration: HardwareConfiguration, seed: UInt64, isPooled: Bool = false, into count: inout Count
  ) throws {
    for profile in HardwareProfile.all {
      guard let program = try? LayerProgram(profile, configuration, seed: seed, isPooled: isPooled) else {
        continue
      }
      let name = "\(profile.name) \(configuration.name) seed \(seed)" + (isPooled ? ", pooled" : "")
      try compare(program, name, seed % 2 == 0 ? .usual : .smallest, into: &count)
    }
  }

  private func compare(
    _ program: LayerProgram, _ name: String, _ limits: TranslationLimits, into count: inout Count
  ) throws {
    let memory = try program.memory()
    var plain = try FunctionalSimulator(target: program.target)
    do {
      try plain.run(
        instructionAddress: program.instructionAddress, count: program.words.count, memory: memory)
    } catch {
      guard let kernels = KernelSet.available.first else { return }
      if try translation(program, limits, kernels) != nil {
        count.differences.append("\(name): translated, but \(error)")
      }
      return
    }
    let expected = try program.result(memory)
    count.programs += 1
    count.instructions += program.words.count
    for options in simulators {
      guard let kernels = options.kernels else { continue }
      let translated = try translation(program, limits, kernels)
      guard let translated, let simulator = options.simulator(for: translated, sharesAll: true) else {
        count.refused += 1
        continue
      }
      count.runs += 1
      if translated.figures.tasks > 0 { count.tasks += 1 }
      if translated.figures.fusedTasks > 0 { count.fused += 1 }
      // Twice: a run leaves nothing behind but memory.
      var runs = Array(repeating: { try simulator.run(translated, memory: $0) }, count: 2)
      if options.threads == 2 {
        var random = SeededGenerator(seed: UInt64(program.words.count))
        let stopped = { Int.random(in: 0..<4, using: &random) > 0 }
        runs += repeatElement({ try simulator.run(translated, memory: $0, isStopped: stopped) }, count: 3)
      }
      for run in runs {
        let memory = try program.memory()
        try run(memory)
        let found = try program.result(memory)
        guard found != expected else { continue }
        let place = zip(found, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
        count.differences.append("\(name), \(kernels.name), \(options.threads) threads: byte \(place)")
        break
      }
    }
  }

  private func translation(
    _ program: LayerProgram, _ limits: TranslationLimits, _ kernels: KernelSet
  ) throws -> TranslatedProgram? {
    ProgramTranslator.translate(
      instructionAddress: program.instructionAddress, count: program.words.count, target: program.target,
      memory: try program.memory(), kernels: kernels, isConstant: program.isConstant, limits: limits)
  }
}
