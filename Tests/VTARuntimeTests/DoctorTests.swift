import Foundation
import SystemPackage
import Testing
import VTA
import VTASimulatedBoard

@testable import VTARuntime

/// The doctor over copies of boards' files, and over simulated boards.
struct DoctorTests {
  private static let root = UserIdentity(name: "root", identifier: 0, groups: [])
  private static let vta = UserIdentity(name: "vta", identifier: 4711, groups: [4712])

  private func board(_ name: String) throws -> Board { try #require(Board.named(name)) }

  /// What a board shows on which nothing is wrong.
  private func healthy(_ board: Board) throws -> BoardTree {
    let tree = try BoardTree()
    let family = board.configuration.family
    try tree.write(
      (board.deviceTree.compatible + ["some,soc"]).map { $0 + "\0" }.joined(),
      to: "/proc/device-tree/compatible")
    if let name = board.deviceTree.pynqBoards.first {
      try tree.write(name + "\0", to: "/proc/device-tree/chosen/pynq_board")
    }
    if family == .zynqUltraScale {
      try tree.write("xlnx,fclk\0", to: "/proc/device-tree/clocking0/compatible")
    }
    try tree.write("5.15.36-xilinx\n", to: "/proc/sys/kernel/osrelease")
    try tree.write("root=/dev/mmcblk0p2 uio_pdrv_genirq.of_id=generic-uio\n", to: "/proc/cmdline")
    try tree.write("MemTotal: 1000000 kB\nCmaTotal: 262144 kB\nCmaFree: 200000 kB\n", to: "/proc/meminfo")
    let driver =
      switch family {
      case .zynq7000: "Xilinx Zynq FPGA Manager"
      case .zynqUltraScale: "Xilinx ZynqMP FPGA Manager"
      case .cycloneV: "Altera SOCFPGA FPGA Manager"
      }
    let manager = "/sys/class/fpga_manager/fpga0"
    try tree.write("\(driver)\n", to: "\(manager)/name")
    try tree.write("operating\n", to: "\(manager)/state")
    if family == .cycloneV {
      try tree.write("fpga-region\0", to: "/proc/device-tree/soc/base-fpga-region/compatible")
      try tree.write("", to: "/sys/kernel/config/device-tree/overlays/.keep")
    } else {
      try tree.write("", to: "\(manager)/firmware")
      try tree.write("0\n", to: "\(manager)/flags")
    }
    for (index, name) in board.configuration.bridges.enumerated() {
      try tree.write("\(name)\n", to: "/sys/class/fpga_bridge/br\(index)/name")
      try tree.write("enabled\n", to: "/sys/class/fpga_bridge/br\(index)/state")
    }
    try tree.write("", to: "/sys/bus/platform/drivers/uio_pdrv_genirq/bind")
    for (index, block) in board.registers.map.blocks.enumerated() {
      let folder = "/sys/class/uio/uio\(index)"
      try tree.write("vta-\(block.rawValue)\n", to: "\(folder)/name")
      try tree.write("\(try #require(board.registers.bases[block]))\n", to: "\(folder)/maps/map0/addr")
      try tree.write("0x1000\n", to: "\(folder)/maps/map0/size")
      try tree.write("0x0\n", to: "\(folder)/maps/map0/offset")
      try tree.write("", to: "/dev/uio\(index)")
    }
    let buffer = "/sys/class/u-dma-buf/udmabuf0"
    try tree.write("0x30000000\n", to: "\(buffer)/phys_addr")
    try tree.write("67108864\n", to: "\(buffer)/size")
    try tree.write("", to: "/dev/udmabuf0")
    try tree.write("root:x:0:0:root:/root:/bin/sh\nvta:x:4711:4712::/:/bin/false\n", to: "/etc/passwd")
    try tree.write("root:x:0:\nvta:x:4712:\nvta-hw:x:4713:lisa,vta\n", to: "/etc/group")
    return tree
  }

  private func examine(_ tree: BoardTree, _ change: (inout Doctor.Options) -> Void = { _ in })
    -> Doctor.Report
  {
    var options = Doctor.Options()
    options.isCopy = true
    options.user = Self.root
    options.bitstreamFolder = "\(tree.root)/bitstreams"
    change(&options)
    return Doctor(on: tree.kernel, options).examine()
  }

  private func findings(_ report: Doctor.Report, _ severities: Set<Finding.Severity>) -> [Finding] {
    report.sections.flatMap(\.findings).filter { severities.contains($0.severity) }
  }

  @Test(arguments: ["ultra96-v1", "ultra96-v2", "zcu102", "zcu104", "pynq-z1", "pynq-z2", "de10-nano"])
  func nothingIsWrongWithAHealthyBoard(name: String) throws {
    let report = examine(try healthy(try board(name)))
    #expect(report.board?.name == name)
    #expect(findings(report, [.warning, .failure]) == [])
    #expect(report.sections.map(\.title) == ["Board", "FPGA", "Registers", "Memory", "Self-test"])
  }

  struct Fault: CustomTestStringConvertible {
    let board: String
    let check: String
    let severity: Finding.Severity
    let found: String
    let fix: String
    let make: @Sendable (BoardTree) throws -> Void
    var testDescription: String { "\(board): \(check): \(found)" }

    init(
      _ board: String, _ check: String, _ severity: Finding.Severity, _ found: String, fix: String,
      _ make: @escaping @Sendable (BoardTree) throws -> Void
    ) {
      self.board = board
      self.check = check
      self.severity = severity
      self.found = found
      self.fix = fix
      self.make = make
    }
  }

  private static let manager = "/sys/class/fpga_manager/fpga0"

  static let faults: [Fault] = [
    Fault("ultra96-v2", "fpga-manager", .failure, "state \"unknown\"", fix: "vtactl bitstream program") {
      try $0.write("unknown\n", to: "\(manager)/state")
    },
    Fault("ultra96-v1", "fpga-manager", .failure, "state \"write error\"", fix: "dmesg") {
      try $0.write("write error\n", to: "\(manager)/state")
    },
    Fault("zcu102", "fpga-manager", .warning, "no driver", fix: "CONFIG_FPGA_MGR_ZYNQMP_FPGA") {
      try $0.remove("/sys/class/fpga_manager")
    },
    Fault("zcu104", "bitstream-loading", .warning, "configfs is not mounted", fix: "reboot") {
      try $0.remove("\(manager)/firmware")
    },
    Fault("de10-nano", "bitstream-loading", .warning, "no fpga-region", fix: "reboot") {
      try $0.remove("/proc/device-tree/soc")
    },
    Fault("de10-nano", "bridge lwhps2fpga", .failure, "disabled", fix: "bridge enable") {
      try $0.write("disabled\n", to: "/sys/class/fpga_bridge/br0/state")
    },
    Fault("de10-nano", "bridge fpga2hps", .warning, "no such bridge", fix: "okay") {
      try $0.remove("/sys/class/fpga_bridge/br1")
    },
    Fault("ultra96-v2", "clock", .warning, "pl_clk0", fix: "clk_ignore_unused") {
      try $0.remove("/proc/device-tree/clocking0")
    },
    Fault("pynq-z1", "uio", .failure, "no UIO device has compute at 0x43c02000", fix: "generic-uio") {
      try $0.remove("/sys/class/uio/uio2")
    },
    Fault("pynq-z2", "uio", .warning, "/dev/mem", fix: "modprobe uio_pdrv_genirq") {
      try $0.remove("/sys/class/uio")
      try $0.remove("/sys/bus")
      try $0.write("", to: "/dev/mem")
    },
    Fault("zcu102", "uio", .failure, "load at 0xa0001000", fix: "of_id") {
      try $0.write("0x800\n", to: "/sys/class/uio/uio1/maps/map0/addr")
    },
    Fault("zcu102", "permission", .failure, "/dev/uio0 does not exist", fix: "udev") {
      try $0.remove("/dev/uio0")
    },
    Fault("zcu102", "cma", .warning, "no contiguous memory", fix: "cma=128M") {
      try $0.write("MemTotal: 1000000 kB\n", to: "/proc/meminfo")
    },
    Fault("de10-nano", "cma", .warning, "9 MiB of 16 MiB", fix: "ZONEORDER") {
      try $0.write("CmaTotal: 16384 kB\nCmaFree: 9216 kB\n", to: "/proc/meminfo")
    },
    Fault("ultra96-v2", "buffers", .failure, "0x78000000", fix: "below 0x80000000") {
      try $0.write("0x78000000\n", to: "/sys/class/u-dma-buf/udmabuf0/phys_addr")
      try $0.write("268435456\n", to: "/sys/class/u-dma-buf/udmabuf0/size")
    },
    Fault("zcu102", "buffers", .failure, "0x800000000", fix: "alloc-ranges") {
      try $0.write("0x800000000\n", to: "/sys/class/u-dma-buf/udmabuf0/phys_addr")
    },
    Fault("pynq-z1", "buffers", .failure, "no contiguous memory that a program can have", fix: "u-dma-buf") {
      try $0.remove("/sys/class/u-dma-buf")
    },
    Fault("pynq-z1", "buffers", .warning, "/dev/dma_heap/reserved", fix: "u-dma-buf") {
      try $0.remove("/sys/class/u-dma-buf")
      try $0.write("", to: "/dev/dma_heap/reserved")
      try $0.write("", to: "/dev/dma_heap/system")
    },
    Fault("pynq-z2", "xlnk", .warning, "old PYNQ image", fix: "PYNQ 2.7") {
      try $0.write("", to: "/dev/xlnk")
    },
    Fault("zcu104", "bitstreams", .warning, "manifest", fix: "repair") {
      try $0.write("{", to: "/bitstreams/manifest.json")
    },
  ]

  @Test(arguments: faults)
  func everyFaultIsFoundAlone(_ fault: Fault) throws {
    let tree = try healthy(try board(fault.board))
    try fault.make(tree)
    let report = examine(tree)
    let wrong = findings(report, [.warning, .failure])
    let hit = wrong.first {
      $0.check == fault.check && $0.severity == fault.severity && $0.found.contains(fault.found)
    }
    #expect(hit != nil, "\(wrong)")
    #expect(hit?.fix?.contains(fault.fix) == true, "\(hit?.fix ?? "")")
    #expect(wrong.count == 1, "\(wrong)")
    #expect(report.isWorking == (fault.severity != .failure))
    #expect(wrong.allSatisfy { $0.fix != nil })
  }

  @Test func bitstreamsOfTheFolderSayWhatLoadingTakes() throws {
    let board = try board("zcu102")
    let tree = try healthy(board)
    let file = SimulatedBitstream.file(for: board, target: board.target, byteCount: 3 << 20)
    try FileManager.default.createDirectory(
      atPath: tree.root + "/bitstreams", withIntermediateDirectories: true)
    try Data(file).write(to: URL(filePath: tree.root + "/bitstreams/own.bit"))
    #expect(findings(examine(tree), [.warning, .failure]) == [])
    try tree.write("CmaTotal: 262144 kB\nCmaFree: 2048 kB\n", to: "/proc/meminfo")
    let wrong = findings(examine(tree), [.warning, .failure])
    #expect(wrong.count == 1 && wrong[0].check == "cma" && wrong[0].found.contains("3 MiB"), "\(wrong)")
  }

  @Test func permissionsAreThoseOfTheUser() throws {
    let tree = try healthy(try board("ultra96-v2"))
    let vta = try #require(UserIdentity(named: "vta", on: tree.kernel))
    #expect(vta == UserIdentity(name: "vta", identifier: 4711, groups: [4712, 4713]))
    #expect(UserIdentity(named: "nobody", on: tree.kernel) == nil)
    // Files of whoever runs the tests, readable by all.
    let wrong = findings(examine(tree) { $0.user = vta }, [.failure])
    #expect(wrong.map(\.check) == [String](repeating: "permission", count: 5))
    #expect(wrong.allSatisfy { $0.fix?.contains("70-vta.rules") == true })
    #expect(findings(examine(tree) { $0.user = nil }, [.failure]) == [])
  }

  @Test(arguments: [
    (0o600, 4711, 0, true), (0o660, 0, 4712, true), (0o660, 0, 4713, false), (0o606, 0, 4712, false),
    (0o666, 0, 0, true), (0o400, 4711, 4712, false), (0o077, 4711, 0, false),
  ])
  func permissionBits(mode: UInt32, owner: UInt32, group: UInt32, allowed: Bool) {
    let status = FileStatus(kind: .file, permissions: mode, owner: owner, group: group, byteCount: 0)
    #expect(Self.vta.may(.readAndWrite, status) == allowed)
    #expect(Self.root.may(.readAndWrite, status))
  }

  @Test func withoutABoardNothingIsWrong() throws {
    let tree = try BoardTree()
    let report = examine(tree)
    #expect(report.board == nil && report.isWorking)
    #expect(findings(report, [.note]).first?.found.contains("simulator") == true)
    try tree.write("Raspberry Pi 4\0", to: "/proc/device-tree/model")
    #expect(examine(tree).isWorking)
    #expect(findings(examine(tree), [.note]).first?.found.contains("Raspberry Pi 4") == true)
  }

  /// A virtual machine with an accelerator behind a UIO device has no device tree.
  @Test func aBoardThatIsNamedNeedsNoDeviceTree() throws {
    let tree = try BoardTree()
    try tree.write("0000:00:03.0\n", to: "/sys/class/uio/uio0/name")
    let board = try board("pynq-z1")
    let report = examine(tree) { $0.board = board }
    #expect(report.isWorking && report.board == board)
    #expect(findings(report, [.note]).contains { $0.found.contains("--device uio:NAME") })
  }

  @Test func aWrongNameIsAWarning() throws {
    let tree = try healthy(try board("pynq-z1"))
    let other = try board("pynq-z2")
    let wrong = findings(examine(tree) { $0.board = other }, [.warning, .failure])
    #expect(wrong.map(\.check) == ["board"])
  }

  @Test(arguments: [0, 3, 5, 8, 14, 17]) func aSavedCopySaysTheSame(fault: Int) throws {
    let fault = Self.faults[fault]
    let tree = try healthy(try board(fault.board))
    try fault.make(tree)
    let copy = try BoardTree()
    let saving = SavingKernel(tree.kernel, folder: copy.root)
    var options = Doctor.Options()
    options.isCopy = true
    options.bitstreamFolder = "/nowhere"
    let report = Doctor(on: saving, options).examine()
    #expect(saving.problem == nil)
    #expect(Doctor(on: copy.kernel, options).examine().sections == report.sections)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: copy.root).sorted() == ["dev", "proc", "sys"])
  }

  // MARK: Above simulated boards

  private func live(_ beneath: SimulatedBoard) -> Doctor.Report {
    var options = Doctor.Options()
    options.user = Self.root
    options.bitstreamFolder = "/nowhere"
    options.devices = ["auto"]
    return Doctor(on: beneath, options).examine()
  }

  @Test(arguments: Board.all.map(\.name))
  func simulatedBoardsAreFoundWorking(name: String) throws {
    let board = try board(name)
    let beneath = SimulatedBoard(board)
    let report = live(beneath)
    #expect(report.board == board)
    #expect(findings(report, [.failure]) == [])
    #expect(
      findings(report, [.ok]).contains { $0.check == "self-test auto" && $0.found.contains("computes right") }
    )
    #expect(beneath.launchCount > 0)
    #expect(beneath.complaints == [])
    #expect(beneath.usage.openFiles == 0 && beneath.usage.registerMappings == 0)
  }

  @Test func portWidthsAreAWarningUntilTheBitstreamIsLoaded() throws {
    let board = try board("zcu104")
    let beneath = SimulatedBoard(board)
    func warnings() -> [Finding] {
      findings(live(beneath), [.warning]).filter { $0.check == "system-registers" }
    }
    #expect(warnings().count == 2)
    #expect(warnings().contains { $0.found.contains("pl_clk0") })
    _ = try FPGA(board, on: beneath).program(
      try Bitstream(SimulatedBitstream.file(for: board, target: board.target)))
    #expect(warnings() == [])
  }

  @Test(arguments: [
    (0b01010 as UInt32, Finding.Severity.ok), (0b00000, .warning), (0b11010, .failure), (0b00011, .failure),
  ])
  func switches(msel: UInt32, expected: Finding.Severity) throws {
    var options = SimulatedBoard.Options()
    options.msel = msel
    let found = live(SimulatedBoard(try board("de10-nano"), options)).sections.flatMap(\.findings)
    #expect(found.first { $0.check == "msel" }?.severity == expected)
  }

  @Test func anUnconfiguredBoardIsAFailure() throws {
    var options = SimulatedBoard.Options()
    options.loaded = .some(nil)
    let report = live(SimulatedBoard(try board("ultra96-v2"), options))
    #expect(findings(report, [.failure]).map(\.check) == ["fpga-manager"])
    #expect(findings(report, [.skipped]).contains { $0.check == "self-test" })
  }

  /// A bitstream of another shape computes something else, or nothing.
  @Test func anotherAcceleratorFailsTheSelfTest() throws {
    let board = try board("pynq-z1")
    var options = SimulatedBoard.Options()
    options.loaded = try Target(
      name: "pynq", configuration: HardwareConfiguration(name: "4x8_i8w8a32_15_16_16_18"), profile: .hls001)
    let report = live(SimulatedBoard(board, options))
    #expect(findings(report, [.failure]).map(\.check) == ["self-test auto"])
  }
}
