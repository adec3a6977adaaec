internal import ArgumentParser
private import VTA
internal import VTARuntime
private import VTAService

/// `vtactl bitstream`: files that configure an FPGA.
struct BitstreamCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bitstream", abstract: "Lists, inspects and loads bitstreams for the FPGA.",
    subcommands: [List.self, Inspect.self, Program.self])

  struct FolderOption: ParsableArguments {
    @Option(
      help: ArgumentHelp(
        "Bitstreams and a manifest.json that names them, beside the published ones.", valueName: "folder"))
    var folder = BitstreamFolder.standard

    func read() throws -> BitstreamFolder {
      do {
        return try BitstreamFolder(folder)
      } catch {
        throw Failure(folder, error)
      }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the bitstreams that are known, and those in the folder.")

    @OptionGroup var folder: FolderOption

    @Flag(help: "Print the result as JSON.")
    var json = false

    private struct Report: Encodable {
      struct Known: Encodable {
        let title: String
        let profile: String
        let boards: [String]
        let file: String
        let origin: String
        let digest: String
        /// Where a file of these contents lies.
        let path: String?
      }

      struct Unknown: Encodable {
        let path: String
        let problem: String?
        let sha256: String?
      }

      let folder: String
      let known: [Known]
      let unknown: [Unknown]
    }

    func run() throws {
      let folder = try folder.read()
      let known = folder.catalogue.bitstreams.map { bitstream in
        Report.Known(
          title: bitstream.title, profile: bitstream.target.profile.name, boards: bitstream.boards,
          file: bitstream.file, origin: bitstream.origin, digest: bitstream.digest.description,
          path: folder.entries.first { $0.known == bitstream }.map { "\(folder.path)/\($0.name)" })
      }
      let unknown = folder.entries.filter { $0.known == nil }.map { entry in
        let path = "\(folder.path)/\(entry.name)"
        switch entry.contents {
        case .success(let bitstream):
          return Report.Unknown(path: path, problem: nil, sha256: bitstream.sha256)
        case .failure(let error): return Report.Unknown(path: path, problem: error.description, sha256: nil)
        }
      }
      if json { return try JSONOutput.print(Report(folder: folder.path, known: known, unknown: unknown)) }
      for row in known {
        print("\(row.title) (\(row.profile)) for \(row.boards.joined(separator: ", "))")
        print("  \(row.path ?? "not in \(folder.path): \(row.file) of \(row.origin)"); \(row.digest)")
      }
      for row in unknown { print("\(row.path): \(row.problem ?? "not known; sha256:\(row.sha256 ?? "")")") }
    }
  }

  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows what a bitstream is, what accelerator it makes, and which boards take it.")

    @Argument(help: "A .bit, .bin or .rbf file.")
    var file: String

    @OptionGroup var folder: FolderOption

    @Flag(help: "Print the result as JSON.")
    var json = false

    func run() throws {
      let summary = BitstreamSummary(try BitstreamInput.read(file), catalogue: try folder.read().catalogue)
      if json { try JSONOutput.print(summary) } else { summary.printText() }
    }
  }

  struct Program: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Loads a bitstream into the FPGA of the board that this runs on.",
      discussion: "Whatever the accelerator does is lost, so the daemon must not be driving the board.")

    @Argument(help: "A .bit, .bin or .rbf file.")
    var file: String

    @Option(help: "The board, by name or FILE.json, instead of the one that the device tree names.")
    var board: String?

    @OptionGroup var folder: FolderOption
    @OptionGroup var daemon: DaemonOptions

    @Flag(help: "Print the result as JSON.")
    var json = false

    private struct Report: Encodable {
      let board: String
      let file: String
      let sha256: String
      /// How it was loaded.
      let route: String
      let bitstream: String?
      let target: String?
      let notes: [String]
    }

    func run() async throws {
      let kernel = LinuxKernel()
      let board = try BoardInput.read(board, on: kernel)
      let bitstream = try BitstreamInput.read(file)
      let known = try folder.read().catalogue.recognise(bitstream)
      if let known, !known.boards.contains(board.name) {
        throw Failure(
          file, "it is \(known.title) for \(known.boards.joined(separator: ", ")), but this is \(board.title)"
        )
      }
      try await checkIdle()
      let fpga = FPGA(board, on: kernel)
      let route: FPGA.Route
      var notes: [String]
      do {
        route = try fpga.route()
        notes = try fpga.program(bitstream)
      } catch {
        throw Failure(file, error)
      }
      if known == nil {
        notes.append(
          "this bitstream is in no catalogue, so nobody knows what accelerator is in it; describe it in \(folder.folder)/\(BitstreamCatalogue.manifestName), or modules for another accelerator will run and give wrong answers"
        )
      }
      let report = Report(
        board: board.name, file: file, sha256: bitstream.sha256, route: route.description,
        bitstream: known?.title, target: known?.target.description, notes: notes)
      if json { return try JSONOutput.print(report) }
      print("\(file): loaded on \(board.title) by \(route.description)")
      if let target = report.target { print("  accelerator: \(target)") }
      for note in notes { print("  note: \(note)") }
    }

    private func checkIdle() async throws {
      guard daemon.isListening else { return }
      let devices = try await daemon.ask { try await $0.status() }.devices
      if let device = devices.first(where: { DeviceDescription.Kind(rawValue: $0.kind) == .board }) {
        throw Failure(
          file,
          "the daemon drives \(device.name), which would be lost in the middle of its work; stop it first (systemctl stop vtad)"
        )
      }
    }
  }
}
