internal import ArgumentParser
internal import VTARuntime
internal import VTAService

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Finds what is wrong with a board's set-up, and says how to put it right.",
    discussion: """
      Looks at what the kernel shows of FPGA, registers and memory, at JTAG cables and at permissions, and runs a self-test on \
      each device, opened as the daemon opens it: a bitstream that the configuration names is loaded. \
      Exits 1 if something keeps the accelerator from working. As root it sees more, and looks at the rights of the \
      daemon's user.
      """)

  @Option(
    help: ArgumentHelp(
      "Looks at a copy of another machine's files instead, as --save makes it.", valueName: "folder"),
    completion: .directory)
  var root: String?

  @Option(
    help: ArgumentHelp(
      "Copies the files of /proc, /sys and /dev that are looked at, for --root elsewhere.",
      valueName: "folder"), completion: .directory)
  var save: String?

  @Option(help: "The board, by name or FILE.json, instead of the one that the device tree names.")
  var board: String?

  @Option(
    help:
      "Whose rights are looked at. Default: yours, as root those of the user vta if there is one, with --root nobody's."
  )
  var user: String?

  @Option(
    help: ArgumentHelp(
      "The daemon's configuration, for board, device, bitstream, target and memory. Default: \(standardConfiguration), if it is there.",
      valueName: "file"), completion: .file(extensions: ["json"]))
  var config: String?

  @Option(
    help: ArgumentHelp(
      "A device to test, instead of the configuration's; may be given more than once.", valueName: "name"))
  var device: [String] = []

  @OptionGroup var folder: BitstreamCommand.FolderOption
  @OptionGroup var daemon: DaemonOptions

  @Flag(help: "Print the result as JSON.")
  var json = false

  private static let standardConfiguration = "/etc/vtad/vtad.json"

  func validate() throws {
    if root != nil, save != nil { throw ValidationError("--save: makes no sense with --root") }
  }

  func run() async throws {
    let saving = save.map { SavingKernel(LinuxKernel(), folder: $0) }
    let kernel: any Kernel = saving ?? LinuxKernel(root: root ?? "")
    var options = Doctor.Options()
    var findings: [Finding] = []
    do {
      if let configuration = try await configuration(kernel) {
        options.deviceOptions = configuration.deviceOptions
        options.devices = [configuration.device]
      }
    } catch {
      if config != nil { throw Failure("--config", error) }
      findings.append(
        Finding("configuration", .failure, "\(error)", fix: "repair the file; vtad does not start with it"))
    }
    if let board { options.deviceOptions.board = board }
    if let board = options.deviceOptions.board { options.board = try BoardInput.read(board) }
    if !device.isEmpty { options.devices = device }
    if options.devices.isEmpty { options.devices = ["auto"] }
    options.isCopy = root != nil
    options.bitstreamFolder = (root ?? "") + folder.folder
    options.user = try identity(kernel)
    if root == nil { options.deviceIsBusy = try await drivenByDaemon() }
    var result = Doctor(on: kernel, options).examine()
    if !findings.isEmpty { result.sections.append(FindingSection("Daemon", findings)) }
    if root == nil { result.sections.append(CableFindings.find()) }
    let report = DoctorReport(result)
    if json { try JSONOutput.print(report) } else { report.printText() }
    if let problem = saving?.problem { throw Failure("--save", problem) }
    if !report.working { throw ExitCode(Failure.Kind.work.rawValue) }
  }

  private func configuration(_ kernel: any Kernel) async throws -> DaemonConfiguration? {
    if let config { return try await DaemonConfiguration(file: config) }
    guard kernel.exists(Self.standardConfiguration) else { return nil }
    return try await DaemonConfiguration(file: (root ?? "") + Self.standardConfiguration)
  }

  /// Two drivers on one accelerator would spoil each other's runs.
  private func drivenByDaemon() async throws -> String? {
    guard daemon.isListening else { return nil }
    let devices = try await daemon.ask { try await $0.status() }.devices
    return devices.first { DeviceDescription.Kind(rawValue: $0.kind) == .board }.map {
      "vtad drives \($0.name), which is \($0.state); stop it to have the device tested (systemctl stop vtad.socket vtad)"
    }
  }

  private static let daemonUser = "vta"

  private func identity(_ kernel: any Kernel) throws -> UserIdentity? {
    if let user {
      guard let found = UserIdentity(named: user, on: kernel) else {
        throw Failure.usage(user, "there is no such user in \(root ?? "")/etc/passwd")
      }
      return found
    }
    // A copy has other owners.
    if root != nil { return nil }
    let current = UserIdentity.current
    return current.identifier == 0 ? UserIdentity(named: Self.daemonUser, on: kernel) ?? current : current
  }
}
