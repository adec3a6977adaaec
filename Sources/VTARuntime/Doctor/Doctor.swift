/// Looks at how a board is set up, and says what is wrong and how to put it right. It changes nothing, apart from what the
/// self-test does: it opens each device as the daemon does, and so runs a small program on it.
package struct Doctor: Sendable {
  package struct Options: Sendable {
    /// `nil`: the device tree says it.
    package var board: Board?
    /// Whose rights are looked at; `nil`: nobody's.
    package var user: UserIdentity?
    /// The kernel's files are a copy of another machine's: nothing can be run, no register read.
    package var isCopy = false
    package var bitstreamFolder = BitstreamFolder.standard
    /// What is tried, by the names that `vtad --device` takes; empty: nothing. Not on copies.
    package var devices: [String] = []
    package var deviceOptions = DeviceOptions()
    /// Why no device may be tried now; `nil`: they may.
    package var deviceIsBusy: String?

    package init() {}
  }

  package struct Report: Sendable {
    /// `nil`: none was found, or none that is known.
    package let board: Board?
    package var sections: [FindingSection]

    package init(board: Board?, sections: [FindingSection]) {
      self.board = board
      self.sections = sections
    }

    package func count(_ severity: Finding.Severity) -> Int {
      sections.flatMap(\.findings).count { $0.severity == severity }
    }

    package var isWorking: Bool { count(.failure) == 0 }
  }

  /// What checks look at.
  struct Context {
    let board: Board
    let kernel: any Kernel
    let options: Options
    let hasDeviceTree: Bool

    var fpga: FPGA { FPGA(board, on: kernel) }
  }

  /// One line per check, in the order of the report.
  private static let sections: [(title: String, checks: [@Sendable (Context) -> [Finding]])] = [
    ("FPGA", [fpgaManager, bitstreamRoute, bridges, switches, systemRegisters, clock, knownBitstreams]),
    ("Registers", [registers]),
    ("Memory", [contiguousPool, buffers, coherency]),
  ]

  private let kernel: any Kernel
  private let options: Options

  package init(on kernel: any Kernel, _ options: Options = Options()) {
    self.kernel = kernel
    self.options = options
  }

  package func examine() -> Report {
    let detection = Board.detect(on: kernel)
    let (board, findings) = Self.boardFindings(options.board, detection)
    guard let board else { return Report(board: nil, sections: [FindingSection("Board", findings)]) }
    let context = Context(
      board: board, kernel: kernel, options: options, hasDeviceTree: detection != .noDeviceTree)
    var sections = [FindingSection("Board", findings + Self.system(context))]
    for section in Self.sections {
      sections.append(FindingSection(section.title, section.checks.flatMap { $0(context) }))
    }
    sections.append(FindingSection("Self-test", Self.selfTest(context)))
    return Report(board: board, sections: sections)
  }
}
