import SystemPackage
import Testing
import VTA
import VTASimulatedBoard

@testable import VTARuntime

/// The FPGA of simulated boards, configured by each way that kernels have.
struct FPGATests {
  typealias Options = SimulatedBoard.Options

  private func board(_ name: String) throws -> Board { try #require(Board.named(name)) }

  private func simulated(
    _ board: Board, _ way: Options.Configuration = .firmwareAttribute,
    _ change: (inout Options) -> Void = { _ in }
  ) -> SimulatedBoard {
    var options = Options()
    options.configuration = way
    options.loaded = .some(nil)
    change(&options)
    return SimulatedBoard(board, options)
  }

  private func bitstream(for board: Board, _ target: Target? = nil, byteCount: Int = 4096) throws -> Bitstream
  {
    try Bitstream(SimulatedBitstream.file(for: board, target: target ?? board.target, byteCount: byteCount))
  }

  private func writes(_ beneath: SimulatedBoard, to prefix: String) -> [String] {
    beneath.events.compactMap {
      guard case .write(let path, let bytes) = $0, path.hasPrefix(prefix) else { return nil }
      return "\(path.dropFirst(prefix.count)) \(String(decoding: bytes, as: UTF8.self))"
    }
  }

  private func files(_ beneath: SimulatedBoard) -> [String] {
    (try? beneath.entries(of: "/lib/firmware")) ?? []
  }

  // MARK: What works

  @Test(arguments: [
    ("ultra96-v1", Options.Configuration.firmwareAttribute), ("ultra96-v2", .overlays),
    ("zcu102", .firmwareAttribute),
    ("zcu104", .overlays), ("pynq-z1", .firmwareAttribute), ("pynq-z2", .overlays), ("de10-nano", .overlays),
    ("de10-nano", .registers),
  ])
  func configures(name: String, way: Options.Configuration) throws {
    let board = try board(name)
    let beneath = simulated(board, way)
    let fpga = FPGA(board, on: beneath)
    let target = try Target(name: board.target.name, configuration: .default, profile: .hlsHead)
    if way != .registers { #expect(throws: FPGAError.self) { try fpga.checkAccess() } }
    for wanted in [target, board.target] {
      _ = try fpga.program(try bitstream(for: board, wanted))
      #expect(beneath.configuredTarget == wanted)
    }
    try fpga.checkAccess()
    #expect(beneath.complaints == [])
    #expect(files(beneath) == [])
    let usage = beneath.usage
    #expect(usage.openFiles == 0 && usage.registerMappings == 0)
  }

  /// Reference, C2: flags first, then the name of a file that lies in /lib/firmware.
  @Test func theXilinxAttributesAreWrittenInOrder() throws {
    let board = try board("ultra96-v2")
    let beneath = simulated(board)
    let bitstream = try bitstream(for: board)
    _ = try FPGA(board, on: beneath).program(bitstream)
    let name = "vtad-\(bitstream.sha256.prefix(16)).bin"
    #expect(writes(beneath, to: "/sys/class/fpga_manager/fpga0/") == ["flags 0", "firmware \(name)"])
    let states = beneath.events.compactMap { if case .managerState(let state) = $0 { state } else { nil } }
    #expect(states == ["firmware request", "write init", "write", "write complete", "operating"])
  }

  /// Reference, C5: HPC0 to 128 bits both ways, and nothing beside these bits.
  @Test func portWidthsAreSetAfterwards() throws {
    let board = try board("zcu104")
    let beneath = simulated(board)
    let registers = try SystemRegisters(on: beneath)
    for address: UInt64 in [0xfd36_0000, 0xfd36_0014] {
      let page = try registers.page(PhysicalAddress(address))
      page.write(Int(address % 4096), 0xabcd_0002)
    }
    let notes = try FPGA(board, on: beneath).program(try bitstream(for: board))
    #expect(try registers.read(PhysicalAddress(0xfd36_0000)) == 0xabcd_0000)
    #expect(try registers.read(PhysicalAddress(0xfd36_0014)) == 0xabcd_0000)
    #expect(try registers.read(PhysicalAddress(0xfd61_5000)) == 0x200)
    #expect(try registers.read(PhysicalAddress(0xff5e_00c0)) == 1 << 24)
    #expect(notes == [])
  }

  @Test func withoutRightsToSystemRegistersItSaysWhatIsLeft() throws {
    let board = try board("zcu104")
    let beneath = simulated(board)
    beneath.remove("/dev/mem")
    let notes = try FPGA(board, on: beneath).program(try bitstream(for: board))
    #expect(notes.count == board.configuration.corrections.count)
    #expect(notes.allSatisfy { $0.contains("/dev/mem") })
  }

  /// The daemon's own folder, where there is one.
  @Test func theFileGoesToTheDaemonsFolder() throws {
    let board = try board("pynq-z1")
    let beneath = simulated(board)
    beneath.store([], at: "/lib/firmware/vta/marker")
    let error = #expect(throws: FPGAError.self) {
      try FPGA(board, on: beneath).program(try bitstream(for: board))
    }
    // A simulated folder of this kind takes no new files; that it was tried shows the place.
    #expect(error?.description.contains("/lib/firmware/vta/vtad-") == true)
  }

  // MARK: What fails

  @Test(arguments: [
    ("firmware request error", Errno.noSuchFileOrDirectory, "/lib/firmware"),
    ("write init error", .invalidArgument, "for this FPGA"),
    ("write error", .noMemory, "cma="),
    ("write error", .ioError, "encrypted"),
    ("write complete error", .timedOut, "did not start"),
  ])
  func everyErrorStateHasAFix(state: String, error: Errno, fix: String) throws {
    for way in [Options.Configuration.firmwareAttribute, .overlays] {
      let board = try board("zcu102")
      let beneath = simulated(board, way)
      let fpga = FPGA(board, on: beneath)
      beneath.inject(.load(state: state, error))
      let found = #expect(throws: FPGAError.self) { try fpga.program(try bitstream(for: board)) }
      let text = found?.description ?? ""
      #expect(text.contains("\"\(state)\"") && text.contains(fix), "\(text)")
      #expect(throws: FPGAError.self) { try fpga.checkAccess() }
      #expect(files(beneath) == [])
      // The next one works.
      _ = try fpga.program(try bitstream(for: board))
      try fpga.checkAccess()
      #expect(beneath.complaints == [])
    }
  }

  @Test func nothingIsBegunWithoutHeadroom() throws {
    let board = try board("zcu102")
    let beneath = simulated(board) { $0.loaded = .some(board.target) }
    let taken = beneath.takeFromPool(beneath.poolFreeBytes - 4096)
    let error = #expect(throws: FPGAError.self) {
      try FPGA(board, on: beneath).program(try bitstream(for: board, byteCount: 1 << 20))
    }
    guard case .noHeadroom(_, free: 4096) = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(beneath.configuredTarget == board.target)
    withExtendedLifetime(taken) {}
  }

  @Test func aBitstreamForAnotherBoardNeverReachesTheKernel() throws {
    for own in Board.all {
      for other in Board.all where other.part != own.part {
        let beneath = simulated(own) { $0.loaded = .some(own.target) }
        let error = #expect(throws: FPGAError.self) {
          try FPGA(own, on: beneath).program(try bitstream(for: other))
        }
        guard case .unfit = error else {
          Issue.record("\(own.name), \(other.name): \(String(describing: error))")
          continue
        }
        #expect(beneath.configuredTarget == own.target)
      }
    }
  }

  @Test(arguments: [
    (0b11010 as UInt32, "MSEL"), (0b00011, "MSEL"), (0b00000, "compressed"), (0b01000, "compressed"),
  ])
  func theSwitchesOfTheBoardAreLookedAt(msel: UInt32, expected: String) throws {
    let board = try board("de10-nano")
    let beneath = simulated(board, .registers) { $0.msel = msel }
    let error = #expect(throws: FPGAError.self) {
      try FPGA(board, on: beneath).program(try bitstream(for: board))
    }
    #expect(error?.description.contains(expected) == true)
    #expect(error?.description.contains("01010") == true)
    #expect(beneath.complaints == [])
  }

  @Test(arguments: [0b00010 as UInt32, 0b00110, 0b01010, 0b01110])
  func allSwitchesThatDecompressWork(msel: UInt32) throws {
    let board = try board("de10-nano")
    let beneath = simulated(board, .registers) { $0.msel = msel }
    _ = try FPGA(board, on: beneath).program(try bitstream(for: board))
    #expect(beneath.configuredTarget == board.target)
    #expect(beneath.complaints == [])
  }

  @Test func anFPGAThatNeverStartsIsATimeoutAndItsBridgesStayClosed() throws {
    let board = try board("de10-nano")
    let beneath = simulated(board, .registers)
    beneath.inject(.load(state: "", .ioError), times: 10_000)
    let fpga = FPGA(board, on: beneath)
    let error = #expect(throws: FPGAError.self) { try fpga.program(try bitstream(for: board)) }
    #expect(error == .timeout(waitingFor: "CONF_DONE"))
    let closed = #expect(throws: FPGAError.self) { try fpga.checkAccess() }
    #expect(closed?.description.contains("bridge") == true)
    beneath.clearFaults()
    _ = try fpga.program(try bitstream(for: board))
    try fpga.checkAccess()
    #expect(beneath.complaints == [])
  }

  @Test func closedBridgesAreNamed() throws {
    let board = try board("de10-nano")
    let beneath = simulated(board) { $0.areBridgesEnabled = false }
    let error = #expect(throws: FPGAError.self) {
      try FPGA(board, on: beneath).program(try bitstream(for: board))
    }
    #expect(
      error?.description.contains("lwhps2fpga") == true
        && error?.description.contains("bridge enable") == true)
  }

  @Test func withoutAnyWayItSaysWhatIsMissing() throws {
    let board = try board("zcu102")
    let beneath = simulated(board)
    beneath.remove("/sys/class/fpga_manager/fpga0/firmware")
    let error = #expect(throws: FPGAError.self) { try FPGA(board, on: beneath).route() }
    #expect(error?.description.contains("configfs") == true)
    beneath.remove("/sys/class/fpga_manager")
    let gone = #expect(throws: FPGAError.self) { try FPGA(board, on: beneath).route() }
    #expect(gone?.description.contains("no driver") == true)
  }

  /// Each kernel call fails once; nothing may leak, and the next load works.
  @Test(arguments: Fault.KernelCall.allCases)
  func everyFailingCallIsAnErrorAndLeavesNothing(call: Fault.KernelCall) throws {
    for (name, way) in [
      ("zcu104", Options.Configuration.firmwareAttribute), ("zcu104", .overlays), ("de10-nano", .registers),
    ] {
      let board = try board(name)
      for skip in 0..<40 {
        let beneath = simulated(board, way)
        let fpga = FPGA(board, on: beneath)
        beneath.inject(.call(call, path: "/", .ioError), after: skip)
        _ = try? fpga.program(try bitstream(for: board))
        beneath.clearFaults()
        #expect(beneath.usage.openFiles == 0 && beneath.usage.registerMappings == 0)
        _ = try fpga.program(try bitstream(for: board))
        #expect(beneath.configuredTarget == board.target)
        // What the failed attempt could not take away, the next one of the same file did.
        if call != .removeFile { #expect(files(beneath) == []) }
        #expect(beneath.complaints == [], "\(call) \(skip)")
      }
    }
  }

  /// The bytes are those that dtc makes of the same tree as text.
  @Test func theOverlayIsAFlattenedTree() {
    let overlay = FPGAOverlay(
      region: "/fpga-full", firmware: "x.bin", bridges: [7], kernel: LinuxKernel(root: "/nowhere"))
    let blob = overlay.blob
    #expect(blob.count == Int(blob[4..<8].reduce(0) { $0 << 8 | UInt32($1) }))
    #expect(Hexadecimal.text(blob) == Self.overlayByDTC)
  }

  /// `/ { fragment@0 { target-path = "/fpga-full"; __overlay__ { firmware-name = "x.bin"; fpga-bridges = <7>; }; }; };`
  private static let overlayByDTC = """
    d00dfeed000000d300000038000000ac00000028000000110000001000000000000000270000007400000000\
    000000000000000000000000000000010000000000000001667261676d656e7440300000000000030000000b\
    000000002f667067612d66756c6c0000000000015f5f6f7665726c61795f5f0000000003000000060000000c\
    782e62696e00000000000003000000040000001a000000070000000200000002000000020000000974617267\
    65742d70617468006669726d776172652d6e616d6500667067612d6272696467657300
    """
}
