internal import ArgumentParser
private import VTAService

struct DrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain",
    abstract: "Lets a device, or all, take no more requests, and waits until it has none.",
    discussion: """
      Requests that wait or run are answered. A daemon whose devices are all drained is not ready, so that balancers send \
      requests elsewhere. It lasts until undrain, or until the daemon starts again. That is for administrators.
      """)

  @Argument(help: "The device's name; all if there is none.")
  var device: String?

  @Option(help: ArgumentHelp("How long to wait; 0: not at all.", valueName: "seconds"))
  var timeout = 60.0

  @OptionGroup var daemon: DaemonOptions

  func validate() throws {
    guard (0...86_400).contains(timeout) else {
      throw ValidationError("--timeout \(timeout): from 0 to 86400 seconds")
    }
  }

  func run() async throws {
    let left = try await daemon.ask { [device, timeout] in
      try await $0.drain(device, timeout: .seconds(timeout))
    }
    let what = device ?? "all devices"
    guard left == 0 || timeout == 0 else {
      throw Failure(
        what,
        "drained, but \(left) requests still wait or run after \(timeout) s; wait longer, or look at vtactl devices"
      )
    }
    print("\(what): drained\(left > 0 ? ", \(left) requests still wait or run" : "")")
  }
}

struct UndrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "undrain", abstract: "Lets a drained device, or all, take requests again.")

  @Argument(help: "The device's name; all if there is none.")
  var device: String?

  @OptionGroup var daemon: DaemonOptions

  func run() async throws {
    try await daemon.ask { [device] in try await $0.undrain(device) }
    print("\(device ?? "all devices"): takes requests")
  }
}
