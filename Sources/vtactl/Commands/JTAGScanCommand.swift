internal import ArgumentParser
private import VTAJTAG

struct JTAGScanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "scan", abstract: "Lists cables, and the devices behind them.",
    discussion: "Devices are told by their IDCODE, the one next to TDO first. Nothing is changed in them.")

  @OptionGroup var cables: CableArguments

  @Option(help: ArgumentHelp("How long to wait for a cable, if there is none.", valueName: "seconds"))
  var wait: UInt16 = 0

  @Flag(help: "Print the result as JSON.")
  var json = false

  func run() throws {
    let scans = try cables.scan(
      options: try cables.options(), wait: .seconds(Int(wait)), on: try CableArguments.bus())
    let reports = scans.map(CableReport.init)
    if json {
      try JSONOutput.print(reports)
    } else {
      for report in reports { print(report.text) }
    }
    if let problem = scans.compactMap(\.problem).first { throw Failure("jtag", problem) }
  }
}
