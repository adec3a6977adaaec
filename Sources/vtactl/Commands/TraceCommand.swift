internal import ArgumentParser
private import VTA

/// `vtactl trace`: recorded runs of the accelerator.
struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace", abstract: "Works with recorded runs (.vtatrace).",
    subcommands: [Check.self])

  /// Prints `FILE: ok` or `FILE: differs at 0xADDRESS` per file.
  struct Check: ParsableCommand {
    enum Simulator: String, CaseIterable, ExpressibleByArgument {
      case plain
    }

    static let configuration = CommandConfiguration(
      abstract: "Replays recorded runs under the profile named in each file and compares memory after them.")

    @Option(help: "Which simulator replays.")
    var simulator = Simulator.plain

    @Argument(help: "Recorded runs.")
    var files: [String]

    func run() throws {
      var allEqual = true
      for file in files {
        if let address = try firstDifference(file) {
          print("\(file): differs at 0x\(String(address, radix: 16))")
          allEqual = false
        } else {
          print("\(file): ok")
        }
      }
      if !allEqual { throw ExitCode.failure }
    }

    private func firstDifference(_ file: String) throws -> UInt64? {
      do {
        let run = try RecordedRun(try FileInput.read(file))
        let memory = try run.memoryBefore()
        var simulator = try FunctionalSimulator(target: run.target)
        try simulator.run(
          instructionAddress: run.instructionAddress, count: run.instructionCount, memory: memory)
        return try run.firstDifference(memory)
      } catch let failure as Failure {
        throw failure
      } catch {
        throw Failure(file, error)
      }
    }
  }
}
