import Testing

@testable import VTA

/// One row of the table in reference/vta-hardware.md, section 10.
struct GoldenEncoding: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let instruction: Instruction
  let words: [ISARevision: InstructionWords]

  /// - Parameters:
  ///   - a: as `b` where the reference has no row of its own and no field of the instruction differs.
  private init(
    _ name: String, _ operation: Operation, _ flags: DependenceFlags = [], b: (UInt64, UInt64),
    a: (UInt64, UInt64)? = nil
  ) {
    testDescription = name
    instruction = Instruction(operation, flags)
    words = [.b: InstructionWords(b.0, b.1)].merging(a.map { [.a: InstructionWords($0.0, $0.1)] } ?? [:]) {
      $1
    }
  }

  /// What decoding gives: revision A cannot tell which memory a STORE names, and it is always OUT.
  func decoded(_ revision: ISARevision) -> Instruction {
    guard revision == .a, case .store(var transfer) = instruction.operation else { return instruction }
    transfer.memory = .out
    return Instruction(.store(transfer), instruction.flags)
  }

  static let all: [GoldenEncoding] = transfers + computations + noOps

  private static let transfers = [
    GoldenEncoding(
      "LOAD INP",
      .load(
        Transfer(
          memory: .inp, sramBase: 0x20, dramBase: 0x12345, ySize: 4, xSize: 6, xStride: 14, yPad0: 1,
          yPad1: 0, xPad0: 1, xPad1: 2)), [.popNext, .pushNext],
      b: (0x0000_048D_1400_8150, 0x2101_000E_0006_0004), a: (0x0000_0246_8A00_4150, 0x2101_000E_0006_0004)),
    GoldenEncoding(
      "LOAD WGT",
      .load(Transfer(memory: .wgt, sramBase: 0, dramBase: 0x4080, ySize: 2, xSize: 9, xStride: 36)),
      .pushNext, b: (0x0000_0102_0000_00C0, 0x0000_0024_0009_0002)),
    GoldenEncoding(
      "LOAD UOP",
      .load(Transfer(memory: .uop, sramBase: 8, dramBase: 0x0304_0000, ySize: 1, xSize: 3, xStride: 3)),
      b: (0x000C_1000_0000_2000, 0x0000_0003_0003_0001)),
    GoldenEncoding(
      "LOAD ACC",
      .load(Transfer(memory: .acc, sramBase: 0x7F0, dramBase: 0xC001, ySize: 1, xSize: 16, xStride: 16)),
      .popNext, b: (0x0000_0300_041F_C190, 0x0000_0010_0010_0001)),
    GoldenEncoding(
      "LOAD ACC_8BIT",
      .load(Transfer(memory: .acc8bit, sramBase: 0, dramBase: 0x1000, ySize: 1, xSize: 16, xStride: 16)),
      b: (0x0000_0040_0000_0280, 0x0000_0010_0010_0001)),
    GoldenEncoding(
      "STORE",
      .store(Transfer(memory: .out, sramBase: 0, dramBase: 0x20000, ySize: 4, xSize: 14, xStride: 56)),
      [.popPrev, .pushPrev], b: (0x0000_0800_0000_0229, 0x0000_0038_000E_0004),
      a: (0x0000_0400_0000_0029, 0x0000_0038_000E_0004)),
  ]

  private static let computations = [
    GoldenEncoding(
      "GEMM reset",
      .gemm(
        Gemm(
          reset: true,
          loops: LoopNest(
            uopBegin: 0, uopEnd: 1, iterOut: 4, iterIn: 14, dstFactorOut: 14, dstFactorIn: 1))),
      b: (0x001C_0020_0020_0082, 0x0000_0000_0000_080E), a: (0x001C_0020_0020_0082, 0x0000_0000_0000_080E)),
    GoldenEncoding(
      "GEMM",
      .gemm(
        Gemm(
          reset: false,
          loops: LoopNest(
            uopBegin: 8, uopEnd: 11, iterOut: 4, iterIn: 14, dstFactorOut: 14, dstFactorIn: 1,
            srcFactorOut: 16, srcFactorIn: 1), wgtFactorOut: 0, wgtFactorIn: 9)),
      [.popPrev, .pushPrev], b: (0x001C_0020_0160_082A, 0x0240_0002_0400_080E),
      a: (0x001C_0020_0160_082A, 0x0240_0002_0400_080E)),
    GoldenEncoding(
      "ALU SHR 8", .alu(ALU(opcode: .shr, operand: .immediate(8), loops: row(56))),
      b: (0x0070_0008_0020_0004, 0x0008_B002_0000_0800), a: (0x0070_0008_0020_0004, 0x0004_7002_0000_0800)),
    GoldenEncoding(
      "ALU MAX -128", .alu(ALU(opcode: .max, operand: .immediate(-128), loops: row(56))),
      b: (0x0070_0008_0020_0004, 0xFF80_9002_0000_0800), a: (0x0070_0008_0020_0004, 0x7FC0_5002_0000_0800)),
    GoldenEncoding(
      "ALU ADD",
      .alu(
        ALU(
          opcode: .add, operand: .accumulator,
          loops: LoopNest(
            uopBegin: 2, uopEnd: 3, iterOut: 2, iterIn: 56, dstFactorOut: 56, dstFactorIn: 1,
            srcFactorOut: 56, srcFactorIn: 1))), .pushNext,
      b: (0x0070_0010_0060_0244, 0x0000_2002_0E00_0838)),
  ]

  private static let noOps = [
    GoldenEncoding("FINISH", .finish, b: (3, 0), a: (3, 0)),
    GoldenEncoding("NOP load", .load(.nop(.inp)), .pushNext, b: (0x140, 0), a: (0x140, 0)),
    GoldenEncoding("NOP compute", .load(.nop(.uop)), [.popPrev, .popNext], b: (0x18, 0), a: (0x18, 0)),
    GoldenEncoding("NOP store", .store(.nop(.uop)), .pushPrev, b: (0x21, 0), a: (0x21, 0)),
  ]

  /// One micro-op over a row of accumulators in place.
  private static func row(_ count: Int) -> LoopNest {
    LoopNest(uopBegin: 0, uopEnd: 1, iterOut: 1, iterIn: count, dstFactorIn: 1, srcFactorIn: 1)
  }
}
