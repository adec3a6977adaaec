import Testing
import VTA
import VTACableModels

@testable import VTAJTAG

@Suite struct ProgrammingTests {
  /// The bits of the payload in the order in which the device must see them, by the formats' own rules.
  private func expected(_ image: ConfigurationImage) -> [UInt8] {
    guard image.format == .words else { return Array(image.payload) }
    return image.payload.map { byte in
      var out: UInt8 = 0
      for bit in 0..<8 where byte >> bit & 1 == 1 { out |= 0x80 >> bit }
      return out
    }
  }

  @Test(
    "Each board on each cable receives exactly the file's bits, in their order, and says that it is configured",
    arguments: CableKind.allCases, BoardUnderTest.allCases)
  func delivers(kind: CableKind, board: BoardUnderTest) throws {
    let setup = board.setup(byteCount: board == .cycloneV ? 70_001 : 70_000, hertz: kind.hertz)
    let cable = kind.make(setup.wires)
    var last = 0
    let report = try cable.program(setup) { bytes throws(JTAGError) in
      #expect(bytes > last)
      last = bytes
    }
    #expect(last == setup.image.payload.count)
    #expect(report.isConfirmed)
    #expect(report.bytes == setup.image.payload.count)
    #expect(setup.isConfigured())
    #expect(setup.complaints().isEmpty)
    #expect(cable.complaints.isEmpty)
    #expect(cable.isGivenBack)
    let received = setup.received()
    #expect(received.bitCount == 8 * setup.image.payload.count + setup.leading)
    let bits = BitString(bytes: received.bytes, count: received.bitCount)
    #expect(bits[setup.leading..<bits.count].bytes == expected(setup.image))
  }

  @Test("A published file's size and header, whole: 4 MB over the board's own cable")
  func published() throws {
    let (wires, fpga) = BoardModel.zynq7000()
    let image = Image.words(idcode: 0x0372_7093, part: "7z020clg484", byteCount: 4_045_564)
    let cable = CableKind.ft2232h.make(wires)
    let setup = BoardUnderTest.Setup(
      wires: wires, image: image, family: .zynq7000, received: { fpga.logic.received }, leading: 1,
      isConfigured: { fpga.logic.isDone }, complaints: { fpga.logic.complaints })
    try cable.program(setup)
    #expect(fpga.logic.isDone)
    #expect(fpga.logic.received.bitCount == 8 * 4_045_564 + 1)
  }

  @Test(
    "A part that the chain does not have, and files of the other maker, are refused before anything is erased"
  )
  func refusals() throws {
    let cases: [(BoardUnderTest, ConfigurationImage)] = [
      (.zynq7000, Image.words(idcode: 0x0471_0093, part: "xczu3eg-sbva484-1-e", byteCount: 400)),
      (.zynqMP, Image.words(idcode: 0x0473_8093, part: "xczu9eg-ffvb1156-2-e", byteCount: 400)),
      (.hiddenZynqMP, Image.words(idcode: 0x0372_7093, part: "7z020clg484", byteCount: 400)),
      (.zynqMP, Image.rbf(byteCount: 400)),
      (.cycloneV, Image.words(idcode: 0x0372_7093, part: "7z020clg484", byteCount: 400)),
      // The header and the data name different parts.
      (.zynq7000, Image.words(idcode: 0x0372_2093, part: "7z020clg484", byteCount: 400)),
    ]
    for (board, image) in cases {
      let setup = board.setup(hertz: 24_000_000)
      let cable = CableKind.ft2232h.make(setup.wires)
      let error = #expect(throws: JTAGError.self) { try cable.program(setup, image: image) }
      #expect("\(error.map(String.init(describing:)) ?? "")".hasPrefix("bitstream: "))
      #expect(setup.received().bitCount == 0)
      #expect(cable.isGivenBack)
    }
  }

  @Test(
    "In chains of other devices in any order the FPGA is found, and gets the same bits",
    arguments: UInt64(1)...12)
  func otherChains(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let fpga = Zynq7000Model(idcode: 0x0372_7093)
    let others: [TAPModel] = [
      DebugPortModel(idcode: 0x4BA0_0477), DebugPortModel(idcode: 0x5BA0_0477),
      // Of one device the instruction length is unknown, and may be concluded.
      StrangerModel(idcode: seed % 2 == 0 ? 0x1234_5677 : nil, instructionLength: Int(seed) + 1),
    ]
    let devices = ([fpga] + others).shuffled(using: &generator)
    let leading = devices.firstIndex { $0 === fpga } ?? 0
    let wires = JTAGWires.chain(devices)
    let setup = BoardUnderTest.Setup(
      wires: wires, image: Image.words(idcode: 0x0372_7093, part: "7z020clg484", byteCount: 5000),
      family: .zynq7000, received: { fpga.logic.received }, leading: leading,
      isConfigured: { fpga.logic.isDone }, complaints: { fpga.logic.complaints })
    for kind in [CableKind.ft232h, .blaster2] {
      try kind.make(wires).program(setup)
      let (bytes, count) = setup.received()
      #expect(count == 8 * 5000 + leading)
      #expect(BitString(bytes: bytes, count: count)[leading..<count].bytes == expected(setup.image))
    }
  }

  @Test func twoUnknownLengthsAreRefused() throws {
    let fpga = Zynq7000Model(idcode: 0x0372_7093)
    let wires = JTAGWires.chain([
      StrangerModel(idcode: nil, instructionLength: 5), fpga,
      StrangerModel(idcode: 0x77, instructionLength: 4),
    ])
    let setup = BoardUnderTest.zynq7000.setup(hertz: 1)
    let error = #expect(throws: JTAGError.self) { try CableKind.ft232h.make(wires).program(setup) }
    #expect(
      error
        == .unknownInstructionLength(devices: "unknown 0x00000077, xc7z020, a device without IDCODE"))
    #expect(fpga.logic.clears == 0)
  }

  @Test func memoryThatIsNeverCleared() throws {
    let (wires, fpga) = BoardModel.zynq7000()
    fpga.logic.neverClears = true
    let cable = CableKind.ft232h.make(wires)
    let error = #expect(throws: JTAGError.self) {
      try cable.program(BoardUnderTest.zynq7000.setup(hertz: 1))
    }
    #expect(error == .notCleared(device: "xc7z020"))
    #expect(cable.isGivenBack)
  }

  @Test(
    "Data in a wrong order, and a file cut short, leave a device that says so", arguments: CableKind.allCases)
  func notConfigured(kind: CableKind) throws {
    for board in [BoardUnderTest.zynq7000, .zynqMP, .cycloneV] {
      let setup = board.setup(hertz: kind.hertz)
      let payload = Array(setup.image.payload)
      let swapped = stride(from: 0, to: payload.count - 3, by: 4).flatMap { payload[$0..<$0 + 4].reversed() }
      let wrong = board == .cycloneV ? Array(payload.reversed()) : swapped
      for bytes in [wrong, Array(payload.dropLast(100))] {
        let image = ConfigurationImage(
          format: setup.image.format, part: setup.image.part, idcode: setup.image.idcode, payload: bytes[...])
        let cable = kind.make(setup.wires)
        let error = #expect(throws: JTAGError.self) { try cable.program(setup, image: image) }
        guard case .notConfigured = error else {
          Issue.record("\(board): \(String(describing: error))")
          continue
        }
        #expect(!setup.isConfigured())
        #expect(cable.isGivenBack)
      }
    }
  }

  @Test(
    "TDO that breaks on the way ends the work with an error",
    arguments: [JTAGWires.Fault.tdoLow, .tdoHigh, .noise(every: 7)])
  func disturbed(fault: JTAGWires.Fault) throws {
    for board in BoardUnderTest.allCases {
      let setup = board.setup(byteCount: 100_000, hertz: CableKind.ft4232h.hertz)
      let cable = CableKind.ft4232h.make(setup.wires)
      do {
        try cable.program(setup) { _ throws(JTAGError) in setup.wires.fault = fault }
        // Noise on the way back may miss all bits that are looked at; then the answer must be true.
        #expect(setup.isConfigured())
        guard case .noise = fault else {
          Issue.record("\(board): no error")
          continue
        }
      } catch {
        #expect(error is JTAGError)
      }
      #expect(cable.isGivenBack)
    }
  }

  @Test func lockedDeviceStaysHidden() throws {
    let (wires, device) = BoardModel.zynqMP(isHidden: true)
    device.isLocked = true
    let setup = BoardUnderTest.hiddenZynqMP.setup(hertz: 1)
    let cable = CableKind.ft4232h.make(wires)
    let error = #expect(throws: JTAGError.self) { try cable.program(setup) }
    #expect(error == .hidden(device: "xczu3cg/eg"))
    #expect(device.logic.clears == 0)
  }

  @Test(
    "An interruption resets the devices, gives everything back, and the next try works",
    arguments: CableKind.allCases, BoardUnderTest.allCases)
  func interrupted(kind: CableKind, board: BoardUnderTest) throws {
    let setup = board.setup(byteCount: 150_000, hertz: kind.hertz)
    let cable = kind.make(setup.wires)
    let error = #expect(throws: JTAGError.self) {
      try cable.program(setup) { bytes throws(JTAGError) in
        if bytes > 60_000 { throw .interrupted(bytes: bytes, total: 150_000) }
      }
    }
    #expect(error == .interrupted(bytes: 65_536, total: 150_000))
    #expect(setup.wires.states.allSatisfy { $0 == .testLogicReset })
    #expect(cable.isGivenBack)
    try cable.program(setup)
    #expect(setup.isConfigured())
  }

  @Test("A configured FPGA is warned of, and so is what can't be told")
  func warnings() throws {
    for board in BoardUnderTest.allCases {
      let setup = board.setup(hertz: CableKind.ft232h.hertz)
      let cable = CableKind.ft232h.make(setup.wires)
      var counts: [Int] = []
      for _ in 0..<2 {
        let tap = TAPController(try cable.open())
        let chain = try ChainScan(tap).run()
        let position = chain.positions { $0.family == setup.family }[0]
        let programmer = try Programmer(tap, chain, position: position, image: setup.image)
        counts.append(programmer.warnings.count)
        _ = try programmer.run { _ throws(JTAGError) in }
        tap.cable.close()
      }
      #expect(counts == (board == .cycloneV ? [1, 1] : [0, 1]))
    }
  }

  @Test(
    "Clocks and bytes of the estimate are what the models counted", arguments: CableKind.allCases,
    [BoardUnderTest.zynq7000, .cycloneV])
  func estimate(kind: CableKind, board: BoardUnderTest) throws {
    let count = 400_000
    let setup = board.setup(byteCount: count, hertz: kind.hertz)
    let cable = kind.make(setup.wires)
    let tap = TAPController(try cable.open())
    let chain = try ChainScan(tap).run()
    let position = chain.positions { $0.family == setup.family }[0]
    let programmer = try Programmer(tap, chain, position: position, image: setup.image)
    let (clocks, bytes) = (setup.wires.clocks, cable.bytesReceived)
    _ = try programmer.run { _ throws(JTAGError) in }
    let estimate = ProgrammingEstimate(family: setup.family, payloadBytes: count, timing: tap.cable.timing)
    // Moves between states, instructions, polls.
    #expect((0..<100_000).contains(setup.wires.clocks - clocks - estimate.clocks))
    let idleBytes =
      kind == .ft2232d || kind == .blaster1 || kind == .blaster2 ? (estimate.clocks - 8 * count) / 8 : 0
    let found = cable.bytesReceived - bytes - idleBytes
    #expect((0..<16_000).contains(found - estimate.usbBytes), "\(found) for \(estimate.usbBytes)")
  }
}
