internal import ArgumentParser
private import Foundation
private import VTAJTAG
private import VTARuntime

struct JTAGProgramCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "program", abstract: "Loads a bitstream into the FPGA of a board, until its power is off.",
    discussion: """
      The file is a .bit or .bin (Zynq-7000, Zynq UltraScale+) or an .rbf (Cyclone V). Without --board the chains are searched \
      for the device that the file is for. Nothing is erased before the file and the device are known to fit.
      """)

  @Argument(help: "The bitstream.", completion: .file(extensions: ["bit", "bin", "rbf"]))
  var file: String

  @Option(help: "The board; see Configs/boards. An .rbf file does not say what it is for: name the board.")
  var board: String?

  @OptionGroup var cables: CableArguments

  @Flag(help: "Print the result as JSON.")
  var json = false

  private struct Result: Encodable {
    let file: String
    let cable: String
    let device: String
    let idcode: String
    let boards: [String]
    /// What the catalogue calls the bitstream; `nil` if it is not in it.
    let bitstream: String?
    let bytes: Int
    let seconds: Double
    let status: String
    let isConfirmed: Bool
    let warnings: [String]
  }

  func run() throws {
    let board = try board.map(BoardInput.read)
    let bitstream = try BitstreamInput.read(file)
    let options = try cables.options()
    let bus = try CableArguments.bus()
    let target = try JTAGTarget.choose(
      for: bitstream, board: board, among: try cables.scan(options: options, on: bus))
    let boards = board.map { [$0] } ?? Board.all.filter { $0.hasDevice(idcode: target.idcode) }
    let known = BitstreamCatalogue.published.recognise(bitstream)
    if let known, !boards.contains(where: { known.boards.contains($0.name) }) {
      throw Failure(
        file,
        "it is \(known.title), for \(known.boards.joined(separator: ", ")); give the bitstream for this board"
      )
    }
    var warnings: [String] = []
    // A digest says more than the parts that a file names.
    if known == nil, let board = boards.first {
      do { warnings = try bitstream.check(for: board) } catch { throw Failure(file, error) }
    }
    for warning in warnings { Warning.print(warning) }
    let start = ContinuousClock.now
    let (report, more) = try Interruption.isHeld {
      do throws(JTAGError) {
        return try program(target, ConfigurationImage(bitstream), options, bus)
      } catch {
        throw Failure("jtag", error)
      }
    }
    warnings += more
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let result = Result(
      file: file, cable: target.scan.cable.device.path, device: report.device,
      idcode: JTAGError.hex(target.idcode),
      boards: boards.map(\.name), bitstream: known?.title, bytes: report.bytes, seconds: seconds,
      status: report.status, isConfirmed: report.isConfirmed, warnings: warnings)
    if json { return try JSONOutput.print(result) }
    let what = known.map { "\($0.title), " } ?? ""
    print(
      "\(report.device) behind \(result.cable): \(what)\(report.bytes) bytes in \(String(format: "%.1f", seconds)) s, \(report.status)"
    )
  }

  private func program(
    _ target: JTAGTarget, _ image: ConfigurationImage, _ options: CableOptions, _ bus: any USBBus
  ) throws(JTAGError) -> (Programmer.Report, warnings: [String]) {
    let tap = TAPController(try target.scan.reopen(options: options, on: bus))
    defer { tap.cable.close() }
    let chain = try ChainScan(tap).run()
    guard chain == target.scan.chain else {
      throw .notInChain(device: target.model.name, devices: chain.summary)
    }
    let programmer = try Programmer(tap, chain, position: target.position, image: image)
    for warning in programmer.warnings { Warning.print(warning) }
    let progress = Progress()
    defer { progress.end() }
    let total = image.payload.count
    let report = try programmer.run { bytes throws(JTAGError) in
      progress.show(
        "programming \(target.model.name): \(100 * Int64(bytes) / Int64(max(1, total))) % of \(total) bytes")
      if Interruption.isWanted, bytes < total { throw .interrupted(bytes: bytes, total: total) }
    }
    return (report, programmer.warnings)
  }
}
