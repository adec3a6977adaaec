import Testing
import VTA
import VTACableModels

@testable import VTAJTAG

@Suite struct TAPTests {
  /// The states by the names of both sides: the library's and the model's, which is the standard's table by number.
  private static let pairs: [(TAPState, TAPModel.State)] = [
    (.testLogicReset, .testLogicReset), (.runTestIdle, .runTestIdle), (.selectDR, .selectDR),
    (.captureDR, .captureDR), (.shiftDR, .shiftDR), (.exit1DR, .exit1DR), (.pauseDR, .pauseDR),
    (.exit2DR, .exit2DR), (.updateDR, .updateDR), (.selectIR, .selectIR), (.captureIR, .captureIR),
    (.shiftIR, .shiftIR), (.exit1IR, .exit1IR), (.pauseIR, .pauseIR), (.exit2IR, .exit2IR),
    (.updateIR, .updateIR),
  ]

  private static func model(of state: TAPState) -> TAPModel.State? { pairs.first { $0.0 == state }?.1 }

  @Test(
    "Every cable walks the model from every state to every other on the way that it means to",
    arguments: CableKind.allCases)
  func walks(kind: CableKind) throws {
    let device = StrangerModel(idcode: 1, instructionLength: 5)
    let cable = kind.make(JTAGWires.chain([device]))
    let tap = TAPController(try cable.open())
    try tap.reset()
    for from in TAPState.allCases {
      for to in TAPState.allCases {
        try tap.move(to: from)
        try tap.move(to: to)
        try tap.cable.flush()
        #expect(device.state == Self.model(of: to), "\(from) to \(to)")
      }
    }
    #expect(cable.complaints.isEmpty)
  }

  @Test("Eight edges at once are the same as eight edges, for every register")
  func bytesAreEdges() {
    var generator = SeededGenerator(seed: 4)
    let idcodes: [UInt32?] = [0x1234_5673, nil, 0x0BA0_0477]
    let make = { JTAGWires.chain(idcodes.map { StrangerModel(idcode: $0, instructionLength: 3) }) }
    let (fast, slow) = (make(), make())
    for wires in [fast, slow] {
      for tms in [true, true, true, true, true, false, true, false, false] {
        _ = wires.pulse(tms: tms, tdi: true)
      }
    }
    for _ in 0..<50 {
      let byte = UInt8.random(in: .min ... .max, using: &generator)
      var expected: UInt8 = 0
      for bit in 0..<8 where slow.pulse(tms: false, tdi: byte >> bit & 1 == 1) { expected |= 1 << bit }
      #expect(fast.shiftByte(byte) == expected)
      #expect(fast.tdo == slow.tdo)
    }
  }

  @Test("Bits come back as they were sent, whatever their number", arguments: CableKind.allCases)
  func exchange(kind: CableKind) throws {
    // A device in bypass delays by one clock; so all that went in comes out again.
    let cable = kind.make(BoardModel.strangers([(nil, 4)]))
    let tap = TAPController(try cable.open())
    var generator = SeededGenerator(seed: 7)
    for count in Array(1...70) + [511, 512, 513, 4095, 5000, 20_000] {
      try tap.reset()
      var bits = BitString()
      for _ in 0..<count { bits.append(Bool.random(using: &generator)) }
      var expected = BitString(0, count: 1)
      expected.append(bits[0..<count - 1])
      #expect(try tap.exchangeDR(bits) == expected, "\(count) bits")
    }
    #expect(cable.complaints.isEmpty)
    tap.cable.close()
    #expect(cable.isGivenBack)
  }
}
