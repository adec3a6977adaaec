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
        "Bitstreams and a manifest.json that names them, beside the published ones.", valueName: "folder"),
      completion: .directory)
    var folder = BitstreamFolder.standard

    func read() throws -> BitstreamFolder {
      do {
        return try BitstreamFolder(folder)
      } catch {
        throw Failure(folder, error)
      }
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the bitstreams that are known, and those in the folder.")

    @OptionGroup var folder: FolderOption
    @OptionGroup var daemon: DaemonOptions

    @Flag(name: .customLong("daemon"), help: "Ask the daemon: its folder, and what is known for its boards.")
    var asksDaemon = false

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

    func run() async throws {
      if asksDaemon { return try await listOfDaemon() }
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

    private struct DaemonRow: Encodable {
      let file: String?
      let title: String?
      let boards: [String]
      let target: String?
      let sha256: String?
      let problem: String?
    }

    private func listOfDaemon() async throws {
      let (folder, bitstreams) = try await daemon.ask { try await $0.bitstreams() }
      if json {
        return try JSONOutput.print(
          bitstreams.map {
            DaemonRow(
              file: $0.file, title: $0.title, boards: $0.boards, target: $0.target, sha256: $0.sha256,
              problem: $0.problem)
          })
      }
      if bitstreams.isEmpty {
        print("no bitstreams in \(folder), and none are known for the daemon's devices")
      }
      for row in bitstreams {
        let what = row.title.map { "\($0) for \(row.boards.joined(separator: ", "))" } ?? "unknown"
        print("\(row.file ?? "(not in \(folder))"): \(what)\(row.problem.map { ": \($0)" } ?? "")")
      }
    }
  }

  struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows what a bitstream is, what accelerator it makes, and which boards take it.")

    @Argument(help: "A .bit, .bin or .rbf file.", completion: .file(extensions: ["bit", "bin", "rbf"]))
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
      abstract: "Loads a bitstream into the FPGA of the board that this runs on, or that a daemon drives.",
      discussion: """
        Whatever the accelerator does is lost, so the daemon must not be driving the board; or does it itself, with \
        --daemon: between two runs, and its models are there again for the accelerator that it then is. That is for \
        administrators.
        """)

    @Argument(
      help: "A .bit, .bin or .rbf file; with --daemon the name of one in the daemon's folder.",
      completion: .file(extensions: ["bit", "bin", "rbf"]))
    var file: String

    @Flag(name: .customLong("daemon"), help: "Let the daemon load it.")
    var asksDaemon = false

    @Option(help: ArgumentHelp("With --daemon, which of its devices.", valueName: "name"))
    var device: String?

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

    func validate() throws {
      guard asksDaemon || device == nil else {
        throw ValidationError("--device names a device of the daemon; add --daemon")
      }
    }

    func run() async throws {
      if asksDaemon { return try await programByDaemon() }
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

    private struct DaemonReport: Encodable {
      let device: DeviceRow
      let modelsReady: UInt32
      let modelsUnavailable: UInt32
    }

    private func programByDaemon() async throws {
      let result = try await daemon.ask { [file, device] in
        try await $0.program(bitstream: file, device: device)
      }
      let row = DeviceRow(result.device)
      if json {
        return try JSONOutput.print(
          DaemonReport(
            device: row, modelsReady: result.modelsReady, modelsUnavailable: result.modelsUnavailable))
      }
      print("\(file): loaded")
      print("  device \(row.text)")
      print("  models: \(result.modelsReady) ready, \(result.modelsUnavailable) unavailable")
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
