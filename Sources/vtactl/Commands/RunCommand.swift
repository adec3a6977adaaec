internal import ArgumentParser

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "run", abstract: "Runs a module on a device.")

  func run() async throws {
    throw Failure("run", "not there yet")
  }
}
