internal import ArgumentParser
private import Glibc
private import Logging
private import VTAModule
private import VTARuntime
private import VTAService
private import VTASimulatedBoard

/// Serves models on an accelerator. Options win over the configuration file.
struct Vtad: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vtad",
    abstract: "Serves models for the VTA accelerator to the programs of this machine.",
    discussion:
      "Keys of the configuration file, a JSON object, with their defaults:\n\(DaemonConfiguration.help)",
    version: "vtad \(Version.text)")

  @Option(help: ArgumentHelp("Configuration file.", valueName: "file"))
  var config: String?

  @Option(help: ArgumentHelp("Unix socket to listen on.", valueName: "path"))
  var socket: String?

  @Option(
    help: ArgumentHelp(
      "Device to serve: auto, uio:NAME, mem:ADDRESS, sim, sim:TARGET or simulated-board:BOARD.",
      valueName: "name"))
  var device: String?

  @Option(help: ArgumentHelp("Folder of models.", valueName: "folder"))
  var models: String?

  @Option(
    help: ArgumentHelp(
      "For tests: one run in so many fails on a simulated board, at random.", valueName: "number",
      visibility: .hidden))
  var boardFaults: UInt64?

  @Option(help: ArgumentHelp("Decides which runs fail.", valueName: "number", visibility: .hidden))
  var boardFaultSeed: UInt64 = 1

  @Flag(help: "Check the configuration and what it names, and end.")
  var checkConfig = false

  func run() async throws {
    let (file, overrides) = (
      config, ["socket": socket, "device": device, "models": models].compactMapValues { $0 }
    )
    let read = { @Sendable in try await DaemonConfiguration(file: file, overrides: overrides) }
    let configuration = try await read()
    if checkConfig {
      try configuration.check()
      return Output.write("vtad: \(file ?? "the configuration"): ok", to: STDOUT_FILENO)
    }
    let level = LogLevel(configuration.logLevel)
    let journal = JournalLog.isStandardError ? JournalLog(level: level) : nil
    let logger = Logger(label: "vtad") { _ in (journal as (any LogHandler)?) ?? StandardErrorLog(level: level)
    }
    let faults = boardFaults.map { RandomFaults(oneIn: $0, seed: boardFaultSeed) }
    let daemon = try Daemon(
      configuration, logger: logger, logLevel: level,
      simulatedBoard: { board in
        let board = SimulatedBoard(board, .onRealTime)
        if let faults { board.inject(faults) }
        return board
      },
      reload: read, handlesSignals: true
    ) { socket in
      Output.write("vtad: ready: \(socket)", to: STDOUT_FILENO)
    }
    try await daemon.run()
  }
}

@main struct Main {
  static func main() async {
    // Ends no daemon that doesn't listen for it yet.
    signal(SIGHUP, SIG_IGN)
    do {
      let command = try Vtad.parse()
      try await command.run()
    } catch {
      Output.exit(error)
    }
  }
}

/// What the program prints itself: one line at a time, at once.
private enum Output {
  static func write(_ line: String, to descriptor: CInt) {
    let text = line.split(whereSeparator: \.isNewline).joined(separator: " ") + "\n"
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      // Nobody reads; there is no other place to say so.
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }

  /// Exit code 2 for wrong usage (an option, or a device that doesn't exist), 1 for work that failed.
  static func exit(_ error: any Error) -> Never {
    let code = Vtad.exitCode(for: error)
    if code.isSuccess {
      print(Vtad.fullMessage(for: error))
      Glibc.exit(0)
    }
    let isUsage = code == ExitCode.validationFailure
    let text = Vtad.message(for: error)
    write("vtad: \(text)\(isUsage ? "; see vtad --help" : "")", to: STDERR_FILENO)
    Glibc.exit(isUsage || isUnknownDevice(error) ? 2 : 1)
  }

  private static func isUnknownDevice(_ error: any Error) -> Bool {
    switch error as? DeviceError {
    case .unknownDevice, .unusableTarget, .unknownBoard: true
    default: false
    }
  }
}
