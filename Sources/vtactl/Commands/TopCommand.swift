internal import ArgumentParser
private import Foundation
private import VTAService

struct TopCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "top", abstract: "Shows what the daemon's models and devices do, again and again.",
    discussion: "On a terminal until Ctrl-C; in a pipe once, after one interval.")

  @OptionGroup var daemon: DaemonOptions

  @Option(help: ArgumentHelp("Seconds between two looks.", valueName: "seconds"))
  var interval = 1.0

  @Option(help: ArgumentHelp("How many looks; 0: no end.", valueName: "number"))
  var count: Int?

  func validate() throws {
    guard interval >= 0.1, interval <= 3600 else {
      throw ValidationError("--interval \(interval): from 0.1 to 3600 seconds")
    }
  }

  func run() async throws {
    let isTerminal = isatty(STDOUT_FILENO) == 1
    let looks = count ?? (isTerminal ? 0 : 1)
    try await daemon.ask { [interval, daemon] client in
      var before = try await client.activity()
      var shown = 0
      while looks == 0 || shown < looks {
        try await Task.sleep(for: .seconds(interval))
        let now = try await client.activity()
        let status = try await client.status()
        let text = Self.text(status, daemon.address.description, Self.rows(now, before, interval))
        // Home, then each line erased to its end, then everything below.
        let screen = text.split(separator: "\n", omittingEmptySubsequences: false).joined(
          separator: "\u{1B}[K\n")
        print(isTerminal ? "\u{1B}[H\(screen)\u{1B}[K\n\u{1B}[J" : text, terminator: isTerminal ? "" : "\n")
        fflush(nil)
        before = now
        shown += 1
      }
    }
  }

  private static func rows(_ now: [ModelActivity], _ before: [ModelActivity], _ interval: Double)
    -> [[String]]
  {
    now.map { model in
      let old = before.first { $0.name == model.name && $0.version == model.version }
      let answered = model.answered - min(model.answered, old?.answered ?? 0)
      let failed = model.failed - min(model.failed, old?.failed ?? 0)
      let mean = { (sum: (ModelActivity) -> Double) in
        answered == 0
          ? "-" : String(format: "%.3f", (sum(model) - (old.map(sum) ?? 0)) / Double(answered) * 1000)
      }
      return [
        "\(model.name) \(model.version)", String(format: "%.1f", Double(answered) / interval),
        String(format: "%.1f", Double(failed) / interval), mean(\.seconds), mean(\.queueSeconds),
        mean(\.computeSeconds), "\(model.answered)",
        String(format: "%.1f", Double(model.memoryBytes) / 1_048_576),
      ]
    }
  }

  private static func text(_ status: DaemonStatus, _ address: String, _ rows: [[String]]) -> String {
    var lines = [
      "vtad \(status.version) at \(address), up \(status.uptimeSeconds) s, \(status.isReady ? "ready" : "starting"), "
        + "\(status.connections) connections, \(status.inferences) answered"
    ]
    lines += status.devices.map { "device \($0.name) (\($0.kind)): \($0.state)" }
    let head = ["MODEL", "PER S", "FAILED/S", "MEAN MS", "QUEUE MS", "RUN MS", "ANSWERED", "MIB"]
    lines.append("")
    lines += TextTable.lines([head] + rows, leftColumns: 1)
    return lines.joined(separator: "\n")
  }
}
