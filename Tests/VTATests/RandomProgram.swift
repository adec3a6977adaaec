@testable import VTA

/// Small random programs on the first elements of each scratchpad; tokens balance, but need not order everything.
enum RandomProgram {
  /// - Parameter isRich: with every operation of the ALU, padding and tensor operands.
  static func make(
    _ profile: HardwareProfile, _ random: inout SeededGenerator, isRich: Bool = false
  ) throws -> TestProgram {
    var program = try TestProgram(profile)
    program.microOps = (0..<32).map { index in
      // Far enough apart for pipelines without bypass.
      MicroOp(dst: index % 4 * 2, src: Int.random(in: 0..<6, using: &random), wgt: 0)
    }
    program.data = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &random) }
    program.instructions = [
      .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 32)
    ]
    if Bool.random(using: &random) { program.instructions += everythingWritten(program) }
    let start = program.instructions.count
    for _ in 0..<Int.random(in: 3...14, using: &random) {
      program.instructions.append(
        isRich && Bool.random(using: &random)
          ? richInstruction(program, &random) : instruction(program, &random))
    }
    // Most programs have few flags missing, some many.
    let density = [2, 6, 50].randomElement(using: &random) ?? 2
    for index in program.instructions.indices.dropFirst(start) {
      for flag in flags(program.instructions[index].module)
      where Int.random(in: 0..<density, using: &random) > 0 {
        program.instructions[index].flags.insert(flag)
      }
    }
    balance(&program.instructions, from: start)
    program.instructions += [
      .load(.inp, sram: 0, dram: 0, x: 0, y: 0, [.pushNext]),
      .store(sram: 0, dram: 0, x: 0, y: 0, [.pushPrev]),
      .load(.uop, sram: 0, dram: 0, x: 0, y: 0, [.popPrev, .popNext]), Instruction(.finish),
    ]
    return program
  }

  /// Fills what random instructions read, in order for all modules.
  private static func everythingWritten(_ program: TestProgram) -> [Instruction] {
    let all = LoopNest(uopBegin: 0, uopEnd: 1, iterIn: 24, dstFactorIn: 1)
    return [
      .load(.inp, sram: 0, dram: program.dataBase(.inp), x: 24),
      .load(.wgt, sram: 0, dram: program.dataBase(.wgt), x: 1, [.pushNext]),
      .load(.acc, sram: 0, dram: program.dataBase(.acc), x: 24, [.popPrev]),
      .alu(.add, .immediate(0), all, [.pushNext, .pushPrev]),
      .load(.inp, sram: 0, dram: 0, x: 0, y: 0, [.popNext]),
      .store(sram: 0, dram: 0, x: 0, y: 0, [.popPrev]),
    ]
  }

  private static func flags(_ module: ExecutionModule) -> [DependenceFlags] {
    switch module {
    case .load: [.popNext, .pushNext]
    case .compute: [.popPrev, .popNext, .pushPrev, .pushNext]
    case .store: [.popPrev, .pushPrev]
    }
  }

  private static func instruction(_ program: TestProgram, _ random: inout SeededGenerator) -> Instruction {
    func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }
    let loops = LoopNest(
      uopBegin: below(16), uopEnd: 16 + below(16), iterOut: 1 + below(2), iterIn: 1 + below(2),
      dstFactorOut: below(3), dstFactorIn: below(3), srcFactorOut: below(3), srcFactorIn: below(3))
    let short = LoopNest(
      uopBegin: loops.uopBegin, uopEnd: loops.uopBegin + 1 + below(3), iterOut: loops.iterOut,
      iterIn: loops.iterIn, dstFactorOut: loops.dstFactorOut, dstFactorIn: loops.dstFactorIn,
      srcFactorOut: loops.srcFactorOut, srcFactorIn: loops.srcFactorIn)
    switch below(12) {
    case 0, 1, 2:
      return .load(
        .inp, sram: below(6), dram: program.dataBase(.inp) + UInt32(below(8)), x: 1 + below(4),
        y: 1 + below(2),
        stride: 1 + below(6))
    case 3: return .load(.wgt, sram: 0, dram: program.dataBase(.wgt) + UInt32(below(2)), x: 1)
    case 4, 5:
      return .load(.acc, sram: below(8), dram: program.dataBase(.acc) + UInt32(below(3)), x: 1 + below(8))
    case 6: return .gemm(reset: true, short)
    case 7, 8: return .gemm(short)
    case 9: return .alu(.add, .immediate(1), short)
    default:
      return .store(
        sram: below(8), dram: program.dataBase(.out) + UInt32(below(12)), x: 1 + below(3), y: 1 + below(2),
        stride: 1 + below(6))
    }
  }

  /// Drops pops that would wait forever in program order, and pushes that nothing takes.
  private static func balance(_ instructions: inout [Instruction], from start: Int) {
    var waiting: [[Int]] = [[], [], [], []]
    for index in instructions.indices.dropFirst(start) {
      let m = instructions[index].module.rawValue
      for (flag, queue) in [(DependenceFlags.popPrev, m - 1), (.popNext, m + 2)]
      where instructions[index].flags.contains(flag) {
        if waiting[queue].isEmpty {
          instructions[index].flags.remove(flag)
        } else {
          waiting[queue].removeFirst()
        }
      }
      for (flag, queue) in [(DependenceFlags.pushNext, m), (.pushPrev, m + 1)]
      where instructions[index].flags.contains(flag) {
        waiting[queue].append(index)
      }
    }
    for (queue, flag) in [(0, DependenceFlags.pushNext), (1, .pushNext), (2, .pushPrev), (3, .pushPrev)] {
      for index in waiting[queue] { instructions[index].flags.remove(flag) }
    }
  }

  private static func richInstruction(_ program: TestProgram, _ random: inout SeededGenerator) -> Instruction
  {
    func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }
    let profile = program.target.profile
    let memory = [MemoryType.inp, .wgt, .acc][below(3)]
    if below(3) == 0, profile.paddedLoads.contains(memory) {
      return Instruction(
        .load(
          Transfer(
            memory: memory, sramBase: below(4), dramBase: program.dataBase(memory), ySize: 1 + below(2),
            xSize: 1 + below(2), xStride: below(3), yPad0: below(2), yPad1: below(2), xPad0: below(2),
            xPad1: below(2))))
    }
    let opcode = [ALUOpcode.min, .max, .add, .shr, .mul][below(profile.hasMultiply ? 5 : 4)]
    let begin = below(28)
    let loops = LoopNest(
      uopBegin: begin, uopEnd: begin + 1 + below(4), iterOut: 1 + below(3), iterIn: 1 + below(3),
      dstFactorOut: below(3), dstFactorIn: below(4), srcFactorOut: below(3), srcFactorIn: below(4))
    if below(2) == 0 { return .alu(opcode, .accumulator, loops, unusedImmediate: [0, -1][below(2)]) }
    let value = opcode == .shr ? below(80) - 40 : below(2000) - 1000
    return .alu(opcode, .immediate(value), loops)
  }
}
