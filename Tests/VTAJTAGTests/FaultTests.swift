import Testing
import VTA
import VTACableModels

@testable import VTAJTAG

@Suite struct FaultTests {
  @Test(
    "A fault at any call is an error in one line or does not matter; nothing stays open, and the cable works afterwards",
    arguments: [CableKind.ft2232h, .blaster1, .blaster2], FakeBus.Fault.allCases)
  func anyCall(kind: CableKind, fault: FakeBus.Fault) throws {
    let board = kind == .blaster2 || kind == .blaster1 ? BoardUnderTest.cycloneV : .hiddenZynqMP
    let calls = try {
      let setup = board.setup(hertz: kind.hertz)
      let cable = kind.make(setup.wires)
      try cable.program(setup)
      return cable.bus.calls
    }()
    for call in 0..<calls {
      let setup = board.setup(hertz: kind.hertz)
      let cable = kind.make(setup.wires)
      cable.bus.fault = (fault, at: call)
      var failure: String?
      do { try cable.program(setup) } catch { failure = "\(error)" }
      #expect(cable.bus.faultStruck)
      #expect(cable.isGivenBack, "call \(call): \(failure ?? "no error")")
      if let failure {
        #expect(failure.contains(": ") && failure.contains("; ") && !failure.contains("\n"), "\(failure)")
        if fault == .short { Issue.record("a short transfer at call \(call) is no error: \(failure)") }
      } else {
        #expect(setup.isConfigured(), "call \(call)")
      }
      cable.bus.fault = nil
      cable.bus.plugged = [cable.fake]
      cable.fake.kernelDrivers = [0: "ftdi_sio", 1: "ftdi_sio"]
      try cable.program(setup)
      #expect(setup.isConfigured(), "again after call \(call)")
    }
  }

  @Test("Closing gives the pins back", arguments: CableKind.allCases)
  func pins(kind: CableKind) throws {
    let cable = kind.make(BoardModel.zynq7000().0)
    let open = try cable.open()
    switch cable.fake {
    case let fake as FakeFTDI:
      #expect(fake.isEngineOn)
      #expect(fake.lowPins == (0xE8, 0xEB))
      if kind != .ft4232h { #expect(fake.highPins! == (0x00, 0x60)) }
      #expect(fake.hertz == (kind == .ft2232d ? 6_000_000 : 15_000_000))
      open.close()
      #expect(!fake.isEngineOn)
    case let fake as FakeBlaster1:
      #expect(fake.isDriving)
      open.close()
      #expect(!fake.isDriving)
    case let fake as FakeBlaster2:
      #expect(fake.isDriving)
      open.close()
      #expect(!fake.isDriving)
    default: Issue.record("unknown fake")
    }
    #expect(cable.isGivenBack)
  }
}

@Suite struct CableFinderTests {
  @Test("Chips that may be serial ports are not driven unless their texts say JTAG")
  func generic() throws {
    let wires = BoardModel.strangers([])
    let serial = FakeFTDI(.ft232h, wires: wires, texts: [.manufacturer: "FTDI", .product: "USB <-> Serial"])
    let pod = FakeFTDI(
      .ft2232h, wires: wires, texts: [.manufacturer: "Avnet", .product: "USB-to-JTAG/UART Pod V1"], ports: [4]
    )
    let board = FakeFTDI(
      .ft4232h, wires: wires, texts: [.manufacturer: "Xilinx", .product: "HW-Z1-ZCU104 FT4232H"],
      ports: [5, 2])
    let bus = FakeBus([board, serial, FakeBlaster1(wires: wires), pod])
    let found = try CableFinder.find(on: bus)
    #expect(found.map(\.device.path) == ["1-1", "1-2", "1-4", "1-5.2"])
    #expect(found.map(\.isJTAG) == [false, true, true, true])
    #expect(bus.isClean)
    #expect(!serial.isEngineOn && !pod.isEngineOn)
  }

  @Test func rates() {
    let chip = FTDIChip.with(release: 0x0700)!
    for (wanted, got) in [
      (30_000_000, 30_000_000), (15_000_000, 15_000_000), (29_999_999, 15_000_000), (1, 457),
      (6_000_000, 6_000_000), (0, 457),
    ] {
      #expect(chip.hertz(divisor: chip.divisor(hertz: wanted)) == got)
    }
  }

  @Test("TDO is sampled late at high rates only, and comes out the same")
  func lateSample() throws {
    for hertz in [1_000_000, 15_000_000, 30_000_000] {
      let cable = CableKind.ft2232h.make(BoardModel.zynq7000().0)
      let tap = TAPController(try cable.open(hertz: hertz))
      #expect(try ChainScan(tap).run().devices.count == 2)
      #expect((cable.fake as? FakeFTDI)?.hertz == hertz)
    }
  }

  @Test(
    "A program killed in mid-command leaves bytes behind that do not disturb the next",
    arguments: CableKind.allCases, 0..<8)
  func leftovers(kind: CableKind, seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let cable = kind.make(BoardModel.zynq7000().0)
    var open: (any JTAGCable)? = try cable.open()
    try open?.clockTMS(BitString(0b00100_11111, count: 10))
    try open?.flush()
    // A header that promises more than comes.
    let endpoint: UInt8 = kind == .blaster2 ? 0x04 : 0x02
    let header: [UInt8] =
      kind == .blaster1 || kind == .blaster2
      ? [0xC0 | UInt8.random(in: 1...63, using: &generator)] : [0x39, 0xFF, 0x03]
    let rest = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
      UInt8.random(in: .min ... .max, using: &generator)
    }
    _ = (header + rest.prefix(Int(header[0] & 0x3F))).withUnsafeBytes { cable.fake.bulkOut(endpoint, $0) }
    open?.close()
    open = nil
    let tap = TAPController(try cable.open())
    #expect(try ChainScan(tap).run().devices.map(\.name) == ["xc7z020", "Arm DAP"])
  }
}
