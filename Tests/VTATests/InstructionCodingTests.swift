import Testing

@testable import VTA

/// Worked encodings of reference/vta-hardware.md, section 10: made with VTA's own header, not by us.
@Suite struct InstructionCodingTests {
  @Test(arguments: GoldenEncoding.all) func encodesAsVTAsHeaderDoes(_ golden: GoldenEncoding) throws {
    for revision in golden.words.keys {
      let set = try InstructionSet(configuration: .default, revision: revision)
      let words = try #require(golden.words[revision])
      #expect(try set.encode(golden.instruction) == words, "revision \(revision)")
      #expect(try set.decode(words) == golden.decoded(revision), "revision \(revision)")
    }
  }

  @Test(
    arguments: [
      (MicroOp(dst: 3, src: 5, wgt: 7), 0x01C0_2803), (MicroOp(dst: 2047, src: 1024, wgt: 1023), 0xFFE0_07FF),
      (MicroOp(dst: 56, src: 112, wgt: 0), 0x0003_8038),
    ] as [(MicroOp, UInt32)])
  func microOps(_ microOp: MicroOp, _ bits: UInt32) throws {
    for revision in ISARevision.allCases {
      let set = try InstructionSet(configuration: .default, revision: revision)
      #expect(try set.encode(microOp) == bits)
      #expect(set.decode(microOp: bits) == microOp)
    }
  }

  /// What an empty `VTASynchronize` produces, as bytes in memory.
  @Test(arguments: ISARevision.allCases) func minimalCompleteProgram(_ revision: ISARevision) throws {
    let set = try InstructionSet(configuration: .default, revision: revision)
    let program = [
      Instruction(.store(.nop(.uop)), .pushPrev), Instruction(.load(.nop(.inp)), .pushNext),
      Instruction(.load(.nop(.uop)), [.popPrev, .popNext]), Instruction(.finish),
    ]
    var bytes: [UInt8] = []
    for instruction in program { try set.encode(instruction).append(to: &bytes) }
    let rest = [UInt8](repeating: 0, count: 15)
    let firstBytes: [[UInt8]] = [[0x21] + rest, [0x40, 0x01] + rest.dropLast(), [0x18] + rest, [3] + rest]
    #expect(bytes == firstBytes.flatMap { $0 })
    #expect(program.map(\.module) == [.store, .load, .compute, .compute])
  }

  /// Decoders must not care about bits behind the flags of FINISH: old runtimes left garbage there (section 2.7).
  @Test func finishIgnoresEverythingElse() throws {
    let set = try InstructionSet(configuration: .default, revision: .b)
    #expect(try set.decode(InstructionWords(~0 << 3 | 3, ~0)).operation == .finish)
  }

  @Test func nothingIsTruncated() throws {
    let set = try InstructionSet(configuration: .default, revision: .b)
    var load = Transfer(memory: .inp, sramBase: 1 << 16, ySize: 1, xSize: 1, xStride: 1)
    #expect(
      throws: CodingError.outOfRange(
        format: "LOAD/STORE", field: .sramBase, value: 65536, range: 0...65535)
    ) { try set.encode(Instruction(.load(load))) }
    load.sramBase = -1
    #expect(throws: CodingError.self) { try set.encode(Instruction(.load(load))) }
    for value in [-32769, 32768] {
      let alu = ALU(opcode: .add, operand: .immediate(value), loops: LoopNest(uopBegin: 0, uopEnd: 1))
      #expect(throws: CodingError.self) { try set.encode(Instruction(.alu(alu))) }
    }
  }

  /// Revision A has no code for them.
  @Test func revisionARefusesMultiplyAndAcc8() throws {
    let set = try InstructionSet(configuration: .default, revision: .a)
    let alu = ALU(opcode: .mul, operand: .accumulator, loops: LoopNest(uopBegin: 0, uopEnd: 1))
    #expect(throws: CodingError.self) { try set.encode(Instruction(.alu(alu))) }
    let load = Transfer(memory: .acc8bit, sramBase: 0, ySize: 1, xSize: 1, xStride: 1)
    #expect(throws: CodingError.self) { try set.encode(Instruction(.load(load))) }
  }
}

extension Transfer {
  /// A no-op that carries dependence flags (section 2.7).
  static func nop(_ memory: MemoryType) -> Transfer {
    Transfer(memory: memory, sramBase: 0, ySize: 0, xSize: 0, xStride: 0)
  }
}
