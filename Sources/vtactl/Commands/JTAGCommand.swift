internal import ArgumentParser

struct JTAGCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "jtag", abstract: "Finds boards behind USB-JTAG cables, and programs them.",
    subcommands: [JTAGScanCommand.self, JTAGProgramCommand.self, JTAGEstimateCommand.self])
}
