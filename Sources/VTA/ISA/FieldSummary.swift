extension FieldName {
  /// What the field says, for reference pages. Source: reference/vta-hardware.md, sections 2 and 3.
  package var summary: String {
    switch self {
    case .opcode: "which instruction"
    case .popPrevDep: "wait for a token of the previous module"
    case .popNextDep: "wait for a token of the next module"
    case .pushPrevDep: "give the previous module a token when done"
    case .pushNextDep: "give the next module a token when done"
    case .memoryType: "what is moved"
    case .sramBase: "first element in the scratchpad"
    case .dramBase: "first element in memory: byte address / element size"
    case .ySize: "rows"
    case .xSize: "elements per row"
    case .xStride: "elements from one row in memory to the next"
    case .yPad0: "rows of zeros before"
    case .yPad1: "rows of zeros behind"
    case .xPad0: "zeros before each row"
    case .xPad1: "zeros behind each row"
    case .resetReg: "GEMM: clear instead of accumulate; ALU: looked at by nobody"
    case .uopBgn: "first micro-op"
    case .uopEnd: "one behind the last micro-op"
    case .iterOut: "extent of the outer loop"
    case .iterIn: "extent of the inner loop"
    case .dstFactorOut: "accumulator step of the outer loop"
    case .dstFactorIn: "accumulator step of the inner loop"
    case .srcFactorOut: "source step of the outer loop"
    case .srcFactorIn: "source step of the inner loop"
    case .wgtFactorOut: "weight step of the outer loop"
    case .wgtFactorIn: "weight step of the inner loop"
    case .aluOpcode: "which operation"
    case .useImm: "the second operand is `imm`, not an accumulator"
    case .imm: "two's complement"
    case .dstIdx: "accumulator"
    case .srcIdx: "GEMM: input; ALU: accumulator"
    case .wgtIdx: "GEMM: weight"
    }
  }
}
