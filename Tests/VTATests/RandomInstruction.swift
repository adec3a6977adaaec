@testable import VTA

/// Instructions and micro-ops with random fields, each the smallest or largest value of its field one time in four.
enum RandomInstruction {
  static func any(_ set: InstructionSet, _ generator: inout SeededGenerator) -> Instruction {
    let flags = DependenceFlags(rawValue: UInt8.random(in: 0...15, using: &generator))
    let operation: Operation =
      switch Opcode.allCases.randomElement(using: &generator) ?? .finish {
      case .load: .load(transfer(memories(set).randomElement(using: &generator) ?? .inp, set, &generator))
      case .store:
        // Revision A has no room for the type of a STORE; it is OUT.
        .store(
          transfer(
            set.revision == .a ? .out : MemoryType.allCases.randomElement(using: &generator) ?? .out, set,
            &generator))
      case .gemm:
        .gemm(
          Gemm(
            reset: Bool.random(using: &generator), loops: loops(set.gemm, &generator),
            wgtFactorOut: value(.wgtFactorOut, set.gemm, &generator),
            wgtFactorIn: value(.wgtFactorIn, set.gemm, &generator)))
      case .alu: .alu(alu(set, &generator))
      case .finish: .finish
      }
    return Instruction(operation, flags)
  }

  static func microOp(_ set: InstructionSet, _ generator: inout SeededGenerator) -> MicroOp {
    MicroOp(
      dst: value(.dstIdx, set.microOp, &generator), src: value(.srcIdx, set.microOp, &generator),
      wgt: value(.wgtIdx, set.microOp, &generator))
  }

  private static func memories(_ set: InstructionSet) -> [MemoryType] {
    set.revision == .a ? [.uop, .wgt, .inp, .acc] : MemoryType.allCases
  }

  private static func transfer(
    _ memory: MemoryType, _ set: InstructionSet, _ generator: inout SeededGenerator
  ) -> Transfer {
    func next(_ name: FieldName) -> Int { value(name, set.transfer, &generator) }
    return Transfer(
      memory: memory, sramBase: next(.sramBase), dramBase: UInt32(next(.dramBase)), ySize: next(.ySize),
      xSize: next(.xSize), xStride: next(.xStride), yPad0: next(.yPad0), yPad1: next(.yPad1),
      xPad0: next(.xPad0), xPad1: next(.xPad1))
  }

  private static func alu(_ set: InstructionSet, _ generator: inout SeededGenerator) -> ALU {
    let opcodes = ALUOpcode.allCases.filter { set.revision == .b || $0 != .mul }
    let immediate = value(.imm, set.alu, &generator)
    let usesImmediate = Bool.random(using: &generator)
    return ALU(
      opcode: opcodes.randomElement(using: &generator) ?? .add,
      operand: usesImmediate ? .immediate(immediate) : .accumulator, loops: loops(set.alu, &generator),
      reset: Bool.random(using: &generator), unusedImmediate: usesImmediate ? 0 : immediate)
  }

  private static func loops(_ format: InstructionFormat, _ generator: inout SeededGenerator) -> LoopNest {
    func next(_ name: FieldName) -> Int { value(name, format, &generator) }
    return LoopNest(
      uopBegin: next(.uopBgn), uopEnd: next(.uopEnd), iterOut: next(.iterOut), iterIn: next(.iterIn),
      dstFactorOut: next(.dstFactorOut), dstFactorIn: next(.dstFactorIn), srcFactorOut: next(.srcFactorOut),
      srcFactorIn: next(.srcFactorIn))
  }

  private static func value(
    _ name: FieldName, _ format: InstructionFormat, _ generator: inout SeededGenerator
  ) -> Int {
    guard let range = format.field(name)?.range else { return 0 }
    return switch Int.random(in: 0..<8, using: &generator) {
    case 0: Int(range.lowerBound)
    case 1: Int(range.upperBound)
    default: Int(Int64.random(in: range, using: &generator))
    }
  }
}
