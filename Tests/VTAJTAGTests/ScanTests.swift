import Testing
import VTA
import VTACableModels

@testable import VTAJTAG

@Suite struct ScanTests {
  private func scan(_ wires: JTAGWires, _ kind: CableKind = .ft232h) throws -> Chain {
    let cable = kind.make(wires)
    let tap = TAPController(try cable.open())
    defer {
      tap.cable.close()
      #expect(cable.isGivenBack)
      #expect(cable.complaints.isEmpty)
    }
    return try ChainScan(tap).run()
  }

  private func failure(_ wires: JTAGWires, _ kind: CableKind = .ft232h) -> JTAGError? {
    #expect(throws: JTAGError.self) { try scan(wires, kind) }
  }

  @Test("The boards' chains, on every cable", arguments: CableKind.allCases)
  func boards(kind: CableKind) throws {
    let zynq = try scan(BoardModel.zynq7000().0, kind)
    #expect(zynq.devices.map(\.idcode) == [0x2372_7093, 0x4BA0_0477])
    #expect(zynq.devices.map(\.name) == ["xc7z020", "Arm DAP"])
    #expect(zynq.instructionBits == 10)

    let open = try scan(BoardModel.zynqMP(idcode: 0x2473_8093).0, kind)
    #expect(open.devices.map(\.idcode) == [0x5BA0_0477, 0x2473_8093])
    #expect(open.devices[1].name == "xczu9cg/eg")
    #expect(!open.isHidden(1))

    let hidden = try scan(BoardModel.zynqMP(isHidden: true).0, kind)
    #expect(hidden.devices.map(\.idcode) == [nil, 0x1471_0093])
    #expect(hidden.devices.map(\.instructionLength) == [4, 12])
    #expect(hidden.isHidden(1))

    let cyclone = try scan(BoardModel.cycloneV(expectedBytes: 1, hertz: 1).0, kind)
    #expect(cyclone.devices.map(\.idcode) == [0x4BA0_0477, 0x02D0_20DD])
    #expect(cyclone.devices.map(\.instructionLength) == [4, 10])
  }

  @Test("What a scan of the hidden part looks like in words of 32 bits, as other tools list it")
  func hiddenInWords() throws {
    let cable = CableKind.ft232h.make(BoardModel.zynqMP(isHidden: true).0)
    let tap = TAPController(try cable.open())
    try tap.reset()
    let bits = try tap.peekDR(BitString(repeating: true, count: 64))
    #expect(bits.value(0..<32) == 0x28E2_0126)
    #expect(bits.value(32..<64) == 0xFFFF_FFFE)
  }

  @Test(
    "Chains of strangers: IDCODEs and bypasses in their order, one unknown length is what remains",
    arguments: UInt64(1)...20)
  func strangers(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var devices: [(idcode: UInt32?, instructionLength: Int)] = []
    for _ in 0..<Int.random(in: 1...ChainScan.devicesMax, using: &generator) {
      let code = UInt32.random(in: .min ... .max, using: &generator) & 0x0FFF_FFFF | 1
      devices.append((Bool.random(using: &generator) ? code : nil, Int.random(in: 2...24, using: &generator)))
    }
    let chain = try scan(BoardModel.strangers(devices))
    let expected = Array(devices.reversed())
    #expect(chain.devices.map(\.idcode) == expected.map(\.idcode))
    #expect(chain.instructionBits == expected.reduce(0) { $0 + $1.instructionLength })
    if devices.count == 1 {
      #expect(chain.devices[0].instructionLength == expected[0].instructionLength)
    } else {
      #expect(chain.devices.allSatisfy { $0.instructionLength == nil && $0.model == nil })
    }
  }

  @Test func unknownDevicesAreShown() throws {
    let chain = try scan(BoardModel.strangers([(0x1234_5677, 5), (0x4BA0_0477, 4)]))
    #expect(chain.summary == "Arm DAP, unknown 0x12345677")
    #expect(chain.devices[1].instructionLength == 5)
  }

  @Test("A line that does not move is told by its level", arguments: CableKind.allCases)
  func stuck(kind: CableKind) {
    for (fault, high) in [(JTAGWires.Fault.tdoLow, false), (.tdoHigh, true)] {
      let (wires, _) = BoardModel.zynq7000()
      wires.fault = fault
      #expect(failure(wires, kind) == .stuckTDO(high: high))
    }
    #expect(failure(BoardModel.strangers([]), kind) == .stuckTDO(high: true))
  }

  @Test func tooMany() {
    let devices = [(idcode: UInt32?, instructionLength: Int)](repeating: (0x11, 2), count: 33)
    #expect(failure(BoardModel.strangers(devices)) == .tooManyDevices(limit: 32))
  }

  @Test("Known devices with instruction registers of other lengths are a disturbed chain")
  func lengths() {
    #expect(
      failure(BoardModel.strangers([(0x0372_7093, 7), (0x4BA0_0477, 4)]))
        == .instructionLengths(expected: 10, found: 11))
  }

  @Test("No two devices of the table share an IDCODE")
  func table() {
    let codes = DeviceModel.all.map(\.idcode)
    #expect(Set(codes).count == codes.count)
    #expect(codes.allSatisfy { $0 & 1 == 1 && $0 >> 28 == 0 })
  }
}
