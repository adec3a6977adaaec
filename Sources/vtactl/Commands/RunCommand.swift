internal import ArgumentParser
internal import VTAModule

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs a module: on the daemon, or in this process.",
    discussion: """
      With a daemon running, the file is submitted to it as a private model, gone when this command ends. \
      A daemon gives outputs only, so that a run with --dump-tensors happens in this process.
      """)

  @Argument(help: "The compiled model, a .vtab file.", completion: .file(extensions: ["vtab"]))
  var module: String

  @Option(
    help: ArgumentHelp(
      "NAME=FILE, or FILE for a model with one input: .npy, or .png and .jpg if the module allows it.",
      valueName: "[NAME=]FILE"), completion: .file(extensions: ["npy", "png", "jpg"]))
  var input: [String] = []

  @Option(
    help: ArgumentHelp("Where each output is written as NAME.npy.", valueName: "folder"),
    completion: .directory)
  var outputDir: String?

  @Option(
    help: ArgumentHelp(
      "The device to run on, e.g. sim, sim:ultra96 or simulated-board:zcu104. Without a daemon it is opened in this process.",
      valueName: "name"))
  var device: String?

  @Flag(help: "Run in this process even if a daemon is there.")
  var inProcess = false

  @OptionGroup var daemon: DaemonOptions

  @Option(
    name: .customLong("repeat"),
    help: ArgumentHelp("How many times to run; every time is reported.", valueName: "number"))
  var repetitions = 1

  @Option(
    help: ArgumentHelp(
      "Where every tensor of the accelerator is written as int8 NAME.npy. Runs in this process.",
      valueName: "folder"), completion: .directory)
  var dumpTensors: String?

  @Flag(
    help:
      "Run once more and show where the time goes: each step, and each layer of the accelerator's programs.")
  var profile = false

  @Option(
    help: ArgumentHelp(
      "Cores that the simulator may use in this process; 0: all. A daemon has the key simulator_threads.",
      valueName: "number"))
  var threads = 0

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    guard repetitions >= 1 else { throw ValidationError("--repeat \(repetitions): run at least once") }
    guard (0...64).contains(threads) else { throw ValidationError("--threads \(threads): 0 … 64") }
  }

  func run() async throws {
    let (bytes, file) = try ModuleInput.read(module)
    let inputs = try RunInputs.read(input, for: file.module)
    try ArrayFolder.checkNames(file.module.outputs.map(\.name))
    guard !inProcess, dumpTensors == nil, daemon.isWanted(device: device) else {
      let runner = try await LocalRunner(
        module: file.module, device: device ?? "auto", path: module, threads: threads)
      return try await report(on: runner, file, inputs)
    }
    try await DaemonRunner.withModel(
      bytes, digest: file.digest, device: device, address: daemon.address
    ) { runner in
      try await report(on: runner, file, inputs)
    }
  }

  private func report(
    on runner: some ModelRunner, _ file: ModuleFile, _ inputs: [String: Tensor]
  ) async throws {
    var outcome = RunOutcome(outputs: [], deviceTensors: [])
    var seconds: [Double] = []
    for _ in 0..<repetitions {
      let start = ContinuousClock.now
      outcome = try await measured { try await runner.run(inputs, dumpTensors: dumpTensors != nil) }
      seconds.append((ContinuousClock.now - start) / .seconds(1))
    }
    let profiled = try await measured { try await profile ? runner.profile(inputs) : nil }
    let files = try outputDir.map { try ArrayFolder.write(outcome.outputs, to: $0) }
    if let dumpTensors { try ArrayFolder.write(outcome.deviceTensors, to: dumpTensors) }
    let report = RunReport(
      model: file.module.name, device: runner.device, place: runner.place, seconds: seconds,
      outcome: outcome, files: files, profile: profiled)
    if json {
      try JSONOutput.print(report)
    } else {
      let whyHere = "--dump-tensors runs in this process: a daemon gives outputs only"
      let fallback = outcome.fallback.map { "the simulator answered instead of the device: \($0)" }
      let notes = [runner.note, fallback, inProcess || dumpTensors == nil ? nil : whyHere]
      report.printText(labels: file.module.labels, notes: notes.compactMap { $0 })
      if let profiled { print(profiled.text) }
    }
  }

  /// What goes wrong in a run is about the module.
  private func measured<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
      return try await body()
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure(module, error)
    }
  }
}
