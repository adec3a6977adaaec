internal import ArgumentParser
private import Foundation
private import VTAJTAG
private import VTARuntime

struct JTAGEstimateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "estimate", abstract: "Says how long programming takes at least, per board and cable.",
    discussion: """
      Computed from the cables' clocks and frames, for a whole bitstream without compression; with FILE for that one. Gaps \
      between USB transfers come on top. No hardware was measured.
      """)

  @Argument(
    help: "A bitstream, instead of the largest that each board takes.",
    completion: .file(extensions: ["bit", "bin", "rbf"]))
  var file: String?

  @Option(help: ArgumentHelp("Clock rate of FTDI's chips in MHz.", valueName: "mhz"))
  var frequency: Double = Double(CableOptions.defaultHertz) / 1e6

  @Flag(help: "Print the result as JSON.")
  var json = false

  private struct Row: Encodable {
    let board: String
    let cable: String
    let clockHertz: Int
    let bytes: Int
    let clocks: Int
    let usbBytes: Int
    let seconds: Double
  }

  func validate() throws { try CableArguments.check(frequency: frequency) }

  func run() throws {
    let bitstream = try file.map(BitstreamInput.read)
    let cables = CableTiming.named(hertz: Int(frequency * 1e6))
    var rows: [Row] = []
    for board in Board.all {
      guard let family = DeviceModel.with(idcode: board.idcode)?.family,
        let bytes = bitstream.map({ (try? $0.check(for: board)) == nil ? nil : $0.payload.count })
          ?? board.configuration.uncompressedByteCount
      else { continue }
      for (cable, timing) in cables {
        let estimate = ProgrammingEstimate(family: family, payloadBytes: bytes, timing: timing)
        rows.append(
          Row(
            board: board.name, cable: cable, clockHertz: timing.clockHertz, bytes: bytes,
            clocks: estimate.clocks, usbBytes: estimate.usbBytes, seconds: estimate.seconds))
      }
    }
    if let file, rows.isEmpty {
      throw Failure(file, "no known board takes this bitstream; see Configs/boards")
    }
    if json { return try JSONOutput.print(rows) }
    for row in rows {
      let rate = String(format: "%.1f MHz", Double(row.clockHertz) / 1e6)
      print(
        "\(row.board): \(row.bytes) bytes with \(row.cable) at \(rate): \(String(format: "%.1f s", row.seconds))"
      )
    }
  }
}
