import Testing

@testable import VTA

/// Hand-derived vectors for each line of reference/vta-hardware.md, section 9.3. Recordings confirm fsim and HLS; for
/// Chisel and OpenCL these vectors state what we read in the hardware's source, no more.
@Suite struct ProfileSemanticsTests {
  private static let value: Int32 = -1000

  /// One accumulator element holds `value` in all lanes, element 1 holds `operand`; the ALU works on element 0 (reading
  /// `src`), and the low byte of every lane is stored.
  private func shifted(
    _ profile: HardwareProfile, by operand: ALU.Operand, tensor: Int32 = 0, field: Int = 0
  ) throws -> Int32 {
    var program = try TestProgram(profile)
    let lanes = 16
    program.data = (Array(repeating: Self.value, count: lanes) + Array(repeating: tensor, count: lanes))
      .flatMap {
        (lane: Int32) in withUnsafeBytes(of: lane.littleEndian) { Array($0) }
      }
    let isTensor = operand == .accumulator
    program.microOps = [MicroOp(dst: 0, src: isTensor ? 1 : 0), MicroOp(dst: 0, src: 0)]
    // Four stores, each of another byte of the result, show all 32 bits.
    program.instructions = [
      .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2),
      .load(.acc, sram: 0, dram: program.dataBase(.acc), x: 2),
      .alu(.shr, operand, LoopNest(uopBegin: 0, uopEnd: 1), unusedImmediate: isTensor ? field : 0),
    ]
    let out = program.dataBase(.out) + 0x1000
    for byte in 0..<4 {
      if byte > 0 {
        // Plain shifts by 8, on which all implementations agree.
        program.instructions.append(
          .alu(.shr, .immediate(8), LoopNest(uopBegin: 1, uopEnd: 2), [.popNext]))
      } else {
        program.instructions.append(
          .alu(.add, .immediate(0), LoopNest(uopBegin: 1, uopEnd: 2)))
      }
      program.instructions[program.instructions.count - 1].flags.insert(.pushNext)
      program.instructions.append(.store(sram: 0, dram: out + UInt32(byte), x: 1, [.popPrev, .pushPrev]))
    }
    program.instructions.append(.load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popNext]))
    program.instructions.append(Instruction(.finish))
    let data = try program.run()
    return (0..<4).reduce(Int32(0)) { $0 | Int32(data[0x10000 + $1 * 16]) << Int32(8 * $1) }
  }

  struct Shift: Sendable, CustomTestStringConvertible {
    let profiles: [HardwareProfile]
    let amount: Int
    let result: Int32
    var testDescription: String { "\(profiles.map(\.name)) \(amount)" }
  }

  private static let hls = [HardwareProfile.hls001, .hls002, .hlsHead]
  private static let chisel = [HardwareProfile.chisel2020, .chisel2021]

  /// The table of section 3.5 for A = -1000, and amounts beyond it.
  static let immediates: [Shift] = [
    Shift(profiles: HardwareProfile.all, amount: 3, result: -125),
    Shift(profiles: HardwareProfile.all, amount: -2, result: -4000),
    Shift(profiles: [.fsim, .ocl] + chisel, amount: 16, result: -1),
    Shift(profiles: hls, amount: 16, result: -65_536_000),
    Shift(profiles: [.fsim, .ocl] + chisel, amount: 31, result: -1),
    Shift(profiles: hls, amount: 31, result: -2000),
    Shift(profiles: [.fsim, .ocl] + chisel, amount: -17, result: -131_072_000),
    Shift(profiles: hls, amount: -17, result: -1),
    // Modulo 32 on Chisel: 33 shifts by one.
    Shift(profiles: chisel, amount: 33, result: -500),
  ]

  @Test(arguments: immediates)
  func immediateShifts(_ shift: Shift) throws {
    for profile in shift.profiles {
      #expect(try shifted(profile, by: .immediate(shift.amount)) == shift.result, "\(profile.name)")
    }
  }

  /// Chisel takes the direction from the immediate field, whatever the operand's sign.
  @Test func tensorShifts() throws {
    for profile in HardwareProfile.all {
      #expect(try shifted(profile, by: .accumulator, tensor: 3) == -125, "\(profile.name)")
    }
    for profile in Self.chisel {
      // -2 modulo 32 is 30: shifts right by 30, or with bit 15 of the field left by 2.
      #expect(try shifted(profile, by: .accumulator, tensor: -2) == -1)
      #expect(try shifted(profile, by: .accumulator, tensor: -2, field: -1) == -4000)
    }
    for profile in Self.hls + [.fsim, .ocl] {
      #expect(try shifted(profile, by: .accumulator, tensor: -2, field: -1) == -4000)
    }
  }

  /// ACC[0] = 5, ACC[1] = 9; ADD 1 with dst 0 and src 1.
  @Test(arguments: HardwareProfile.all)
  func immediateOperand(_ profile: HardwareProfile) throws {
    var program = try TestProgram(profile)
    program.data = [5, 9].flatMap { value in (0..<16).flatMap { _ in [UInt8(value), 0, 0, 0] } }
    program.microOps = [MicroOp(dst: 0, src: 1), MicroOp(dst: 0, src: 0)]
    program.instructions = [
      .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2),
      .load(.acc, sram: 0, dram: program.dataBase(.acc), x: 2),
      .alu(.add, .immediate(1), LoopNest(uopBegin: 0, uopEnd: 1), [.pushNext]),
      .store(sram: 0, dram: program.dataBase(.out) + 0x1000, x: 1, [.popPrev, .pushPrev]),
      .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popNext]),
      Instruction(.finish),
    ]
    #expect(try program.run()[0x10000] == (profile == .chisel2021 ? 10 : 6))
    #expect(try program.findings().isEmpty)
    #expect(try program.observations().contains { $0.contains("Chisel-2021 reads src") })
  }

  /// ACC = 7 from an ALU, then a LOAD of 3 or a GEMM reset; INP is all 1, WGT all 2.
  @Test(arguments: HardwareProfile.all, [false, true])
  func outAfterLoadAndReset(_ profile: HardwareProfile, _ isReset: Bool) throws {
    var program = try TestProgram(profile)
    func element(_ value: UInt8) -> [UInt8] { (0..<64).map { $0 % 4 == 0 ? value : 0 } }
    let acc = element(7) + element(3)
    program.data = acc + Array(repeating: 1, count: 128) + Array(repeating: 2, count: 256)
    program.microOps = [MicroOp(dst: 0, src: 0), MicroOp(dst: 0, src: 0)]
    let loops = LoopNest(uopBegin: 0, uopEnd: 1)
    program.instructions = [
      .load(.inp, sram: 0, dram: program.dataBase(.inp) + 8, x: 1),
      .load(.wgt, sram: 0, dram: program.dataBase(.wgt) + 1, x: 1, [.pushNext]),
      .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2),
      .load(.acc, sram: 0, dram: program.dataBase(.acc), x: 1),
      .alu(.add, .immediate(0), loops, [.popPrev]),
      isReset
        ? .gemm(reset: true, loops, [.pushNext])
        : .load(.acc, sram: 0, dram: program.dataBase(.acc) + 1, x: 1, [.pushNext]),
      .store(sram: 0, dram: program.dataBase(.out) + 0x1000, x: 1, [.popPrev, .pushPrev]),
      .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popNext]),
      Instruction(.finish),
    ]
    let stored = try program.run()[0x10000]
    switch (profile.name, isReset) {
    case ("fsim", true): #expect(stored == 0)
    case ("fsim", false): #expect(stored == 3)
    case ("chisel-2020", _), ("chisel-2021", _), (_, false): #expect(stored == 7)
    default: #expect(stored == 7 + 16 * 1 * 2)
    }
    let isGarbage = isReset && profile.resetOutput == .oldPlusDot
    #expect(try program.findings().contains { $0.message.contains("after a GEMM reset") } == isGarbage)
    #expect(try program.observations().contains { $0.contains("STORE of OUT element 0") })
  }

  struct Pairs: Sendable, CustomTestStringConvertible {
    let sram: Int
    let dram: Int
    let count: Int
    /// (to, from), worked out by hand from `LoadUop.scala`.
    let moves: [(Int, Int)]
    var testDescription: String { "\(count) from \(dram) to \(sram)" }
  }

  static let pairs: [Pairs] = [
    Pairs(sram: 0, dram: 0, count: 4, moves: [(0, 0), (1, 1), (2, 2), (3, 3)]),
    Pairs(sram: 2, dram: 4, count: 3, moves: [(2, 4), (3, 5), (4, 6)]),
    Pairs(sram: 4, dram: 6, count: 1, moves: [(4, 6)]),
    // Equal parity, even length: the half pairs at both ends are masked.
    Pairs(sram: 1, dram: 1, count: 2, moves: [(1, 1), (2, 2)]),
    // Odd address in DRAM, even in the scratchpad: the low half gets the high one's micro-op.
    Pairs(sram: 0, dram: 1, count: 2, moves: [(0, 1), (1, 1)]),
    // The other way round.
    Pairs(sram: 1, dram: 0, count: 2, moves: [(1, 0), (2, 2)]),
    // Odd length at an odd index: the two entries behind are overwritten.
    Pairs(sram: 1, dram: 1, count: 1, moves: [(1, 1), (2, 2), (3, 3)]),
    // Seventeen beats: one more than a burst, and the last is lost.
    Pairs(sram: 0, dram: 0, count: 34, moves: (0..<32).map { ($0, $0) }),
    // Eighteen beats from an odd index: the second burst masks its first half again.
    Pairs(sram: 1, dram: 1, count: 34, moves: (1..<35).filter { $0 != 32 }.map { ($0, $0) }),
    Pairs(sram: 0, dram: 0, count: 64, moves: (0..<64).map { ($0, $0) }),
  ]

  @Test(arguments: pairs)
  func microOpsInPairs(_ test: Pairs) throws {
    let moves = PairedMicroOpLoad.moves(
      sramBase: test.sram, dramBase: test.dram, count: test.count, beatsPerBurst: 16)
    #expect(moves == test.moves.map { PairedMicroOpLoad.Move(to: $0.0, from: $0.1) })
    // The verifier refuses exactly those that do not do what they say.
    var program = try TestProgram(.chisel2020)
    program.microOps = Array(repeating: MicroOp(dst: 0, src: 0), count: 80)
    program.instructions = [
      .load(.uop, sram: test.sram, dram: UInt32(TestProgram.microOps / 4) + UInt32(test.dram), x: test.count),
      Instruction(.finish),
    ]
    let isExact = test.moves.elementsEqual((0..<test.count).map { (test.sram + $0, test.dram + $0) }, by: ==)
    #expect(try program.findings().isEmpty == isExact)
  }

  /// 256 tokens in a queue that counts to 255: the last pop waits forever, where load may run ahead.
  @Test(arguments: HardwareProfile.all)
  func tokensSaturate(_ profile: HardwareProfile) throws {
    var program = try TestProgram(profile)
    for count in [255, 256] {
      program.instructions = (0..<count).map { _ in .load(.inp, sram: 0, dram: 0, x: 0, y: 0, [.pushNext]) }
      program.instructions += (0..<count).map { _ in .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popPrev]) }
      program.instructions.append(Instruction(.finish))
      let loses = count == 256 && Self.chisel.contains(profile)
      #expect(try program.findings().isEmpty != loses, "\(count)")
      if loses {
        #expect(throws: SimulationError.self) { try program.run() }
      } else {
        _ = try program.run()
      }
    }
  }

  /// Fetch is in order: 513 loads that wait for a token fill the queue in front of the instruction that sends it.
  @Test(arguments: HardwareProfile.all)
  func fullCommandQueues(_ profile: HardwareProfile) throws {
    var program = try TestProgram(profile)
    for count in [500, 600] {
      program.instructions = (0..<count).map { index in
        .load(
          .inp, sram: 0, dram: 0, x: 0, y: 0, index == 0 ? [.popNext] : index == count - 1 ? [.pushNext] : [])
      }
      program.instructions += [
        .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.pushPrev]),
        .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popPrev]), Instruction(.finish),
      ]
      var hangs = false
      if case .modules(_, .some) = profile.dispatch { hangs = count > 512 }
      #expect(try program.findings().isEmpty != hangs, "\(count)")
      if hangs {
        let message = try #require(throws: SimulationError.self) { try program.run() }
        #expect("\(message)".contains("room in a command queue"))
      } else {
        _ = try program.run()
      }
    }
  }

  /// Operations and extents that a profile lacks: the verifier refuses them all; the simulator stops where hardware
  /// would hang.
  @Test(arguments: HardwareProfile.all)
  func missingOperations(_ profile: HardwareProfile) throws {
    func outcome(_ instructions: [Instruction]) throws -> (isRefused: Bool, stops: Bool) {
      var program = try TestProgram(profile)
      program.microOps = [MicroOp(dst: 0, src: 0), MicroOp(dst: 0, src: 0)]
      program.instructions =
        [
          .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2),
          .load(.acc, sram: 0, dram: program.dataBase(.acc), x: 1),
        ] + instructions + [Instruction(.finish)]
      do {
        _ = try program.run()
        return (try !program.findings().isEmpty, false)
      } catch is SimulationError {
        return (try !program.findings().isEmpty, true)
      }
    }
    let isChisel = Self.chisel.contains(profile)
    let loop = LoopNest(uopBegin: 0, uopEnd: 1)
    if profile.revision == .b {
      #expect(
        try outcome([.alu(.mul, .immediate(2), loop)]) == (!profile.hasMultiply, !profile.hasMultiply))
      let load = Instruction.load(.acc8bit, sram: 0, dram: 0x1000, x: 1)
      #expect(try outcome([load]) == (!profile.hasAcc8BitLoad, isChisel))
    }
    for empty in [LoopNest(uopBegin: 0, uopEnd: 1, iterOut: 0), LoopNest(uopBegin: 1, uopEnd: 1)] {
      #expect(try outcome([.gemm(reset: true, empty)]) == (true, isChisel))
    }
    #expect(try outcome([.load(.acc, sram: 0, dram: 0x400, x: 1, y: 0)]) == (true, isChisel))
    #expect(try outcome([.store(sram: 0, dram: 0x1000, x: 1, y: 0)]) == (true, isChisel))
  }

  /// `LOAD` of the whole padded block `[pad] [1] [pad]` onto nonzero elements, per memory.
  @Test(arguments: HardwareProfile.all)
  func padding(_ profile: HardwareProfile) throws {
    var program = try TestProgram(profile)
    program.data = Array(repeating: 1, count: 4096)
    program.microOps = (0..<8).map { MicroOp(dst: $0, src: $0) }
    func padded(_ memory: MemoryType) -> Instruction {
      var transfer = Transfer(
        memory: memory, sramBase: 0, dramBase: program.dataBase(memory), ySize: 1, xSize: 1, xStride: 1)
      transfer.xPad0 = 1
      return Instruction(.load(transfer))
    }
    // ACC: the padded element 0 becomes zero, or one where padding is ignored.
    program.instructions = [
      .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2), padded(.acc),
      .alu(.add, .immediate(0), LoopNest(uopBegin: 0, uopEnd: 1), [.pushNext]),
      .store(sram: 0, dram: program.dataBase(.out) + 0x1000, x: 1, [.popPrev, .pushPrev]),
      .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popNext]), Instruction(.finish),
    ]
    let honours = ["fsim", "hls-head", "chisel-2020", "chisel-2021"].contains(profile.name)
    #expect(try program.run()[0x10000] == (honours ? 0 : 1))
    #expect(try program.findings().isEmpty == honours)
    for (memory, names) in [
      (MemoryType.wgt, ["fsim", "chisel-2020", "chisel-2021"]), (.uop, ["fsim", "chisel-2021"]),
      (.inp, HardwareProfile.all.map(\.name)),
    ] {
      #expect(profile.paddedLoads.contains(memory) == names.contains(profile.name), "\(memory)")
    }
  }

  /// Micro-ops: two rows where loads are two-dimensional, one elsewhere; 2,048 at most on Chisel.
  @Test(arguments: HardwareProfile.all)
  func microOpBuffer(_ profile: HardwareProfile) throws {
    var program = try TestProgram(profile)
    program.microOps = (0..<8).map { MicroOp(dst: $0, src: $0) }
    program.instructions = [
      .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2, y: 2, stride: 4),
      Instruction(.finish),
    ]
    #expect(try program.findings().isEmpty == ["fsim", "chisel-2021"].contains(profile.name))
    program.instructions[0] = .load(.uop, sram: 2048, dram: UInt32(TestProgram.microOps / 4), x: 2)
    #expect(try program.findings().isEmpty == !Self.chisel.contains(profile))
  }
}
