internal import ArgumentParser
private import CVTALinux
private import Glibc
private import VTARuntime
private import VTASimulatedBoard

/// Plays a board's accelerator in a file that a virtual machine sees as device memory.
@main struct Player: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "vta-device-player",
    abstract: "Plays a board's accelerator in a file that a virtual machine sees as device memory.",
    discussion: """
      The registers of the board lie at the start of the file, its lowest block first, and device memory behind them. \
      Plain memory can't clear flags when they are read. The player stops at SIGTERM, or when its standard input ends.
      """)

  @Option(help: "A known board, or FILE.json.")
  var board: String

  @Option(
    help: ArgumentHelp(
      "Where the machine sees the file's first byte (maps/mapN/addr of its UIO device).", valueName: "address"
    ),
    transform: Self.address)
  var bus: UInt64

  @Option(
    help: ArgumentHelp("Run that never ends, counted from 1; none after it does either.", valueName: "n"))
  var hang: Int?

  @Option(help: ArgumentHelp("Run whose start is lost, counted from 1; the next one works.", valueName: "n"))
  var lose: Int?

  @Option(help: ArgumentHelp("Run from which on all registers read as ones, counted from 1.", valueName: "n"))
  var gone: Int?

  @Argument(help: "The shared file.")
  var file: String

  func run() throws {
    let memory = try map()
    let player = try DevicePlayer(try Board.find(board), memory: memory, busAddress: bus)
    for (fault, run) in [(Fault.hang, hang), (.startLost, lose), (.registersAllOnes, gone)] {
      if let run { player.inject(fault, after: run - 1) }
    }
    print("ready")
    fflush(nil)
    // Half a millisecond of the host's time is short for an emulated machine.
    while !hasEnded(after: 500_000) {
      for event in player.step() { print(event) }
      fflush(nil)
    }
  }

  func validate() throws {
    for run in [hang, lose, gone].compactMap({ $0 }) where run < 1 {
      throw ValidationError("runs are counted from 1")
    }
  }

  private static func address(_ text: String) throws -> UInt64 {
    guard let value = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text) else {
      throw ValidationError("\(text) is no address")
    }
    return value
  }

  /// The whole file, until this process ends.
  private func map() throws -> UnsafeMutableRawBufferPointer {
    let descriptor = open(file, O_RDWR | O_CLOEXEC)
    var status = stat()
    guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
      throw ValidationError("\(file) can't be opened: \(String(cString: strerror(errno)))")
    }
    defer { close(descriptor) }
    var address: UnsafeMutableRawPointer?
    let code = vta_map(descriptor, 0, Int(status.st_size), &address)
    guard code == 0 else {
      throw ValidationError("\(file) can't be mapped: \(String(cString: strerror(-code)))")
    }
    return UnsafeMutableRawBufferPointer(start: address, count: Int(status.st_size))
  }

  /// Whether standard input has ended, so that a player never outlives the test that started it.
  private func hasEnded(after nanoseconds: Int64) -> Bool {
    guard vta_wait_readable(STDIN_FILENO, nanoseconds) > 0 else { return false }
    var byte: UInt8 = 0
    return vta_read(STDIN_FILENO, &byte, 1, -1) <= 0
  }
}
