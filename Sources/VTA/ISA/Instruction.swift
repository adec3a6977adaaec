/// Which tokens an instruction takes before and gives after its execution (section 4.2).
package struct DependenceFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt8
  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let popPrev = DependenceFlags(rawValue: 1)
  package static let popNext = DependenceFlags(rawValue: 2)
  package static let pushPrev = DependenceFlags(rawValue: 4)
  package static let pushNext = DependenceFlags(rawValue: 8)
}

/// LOAD or STORE of a two-dimensional block (sections 2.4, 3.2 and 3.3). Everything counts elements of `memory`.
package struct Transfer: Hashable, Sendable {
  package var memory: MemoryType
  package var sramBase: Int
  package var dramBase: UInt32
  package var ySize: Int
  package var xSize: Int
  package var xStride: Int
  package var yPad0: Int
  package var yPad1: Int
  package var xPad0: Int
  package var xPad1: Int

  package init(
    memory: MemoryType, sramBase: Int, dramBase: UInt32 = 0, ySize: Int, xSize: Int, xStride: Int,
    yPad0: Int = 0, yPad1: Int = 0, xPad0: Int = 0, xPad1: Int = 0
  ) {
    self.memory = memory
    self.sramBase = sramBase
    self.dramBase = dramBase
    self.ySize = ySize
    self.xSize = xSize
    self.xStride = xStride
    self.yPad0 = yPad0
    self.yPad1 = yPad1
    self.xPad0 = xPad0
    self.xPad1 = xPad1
  }

  package var hasPadding: Bool { yPad0 != 0 || yPad1 != 0 || xPad0 != 0 || xPad1 != 0 }

  /// Moves nothing: carries dependence flags only (section 2.7).
  package var isNop: Bool { xSize == 0 && ySize == 0 && !hasPadding }

  /// Elements that a LOAD writes to the scratchpad, padding included.
  package var loadedCount: Int { (yPad0 + ySize + yPad1) * (xPad0 + xSize + xPad1) }
}

/// The affine loop nest of GEMM and ALU: micro-ops `uopBegin..<uopEnd` inside two hardware loops (section 3.4).
package struct LoopNest: Hashable, Sendable {
  package var uopBegin: Int
  /// Exclusive.
  package var uopEnd: Int
  package var iterOut: Int
  package var iterIn: Int
  package var dstFactorOut: Int
  package var dstFactorIn: Int
  package var srcFactorOut: Int
  package var srcFactorIn: Int

  package init(
    uopBegin: Int, uopEnd: Int, iterOut: Int = 1, iterIn: Int = 1, dstFactorOut: Int = 0,
    dstFactorIn: Int = 0, srcFactorOut: Int = 0, srcFactorIn: Int = 0
  ) {
    self.uopBegin = uopBegin
    self.uopEnd = uopEnd
    self.iterOut = iterOut
    self.iterIn = iterIn
    self.dstFactorOut = dstFactorOut
    self.dstFactorIn = dstFactorIn
    self.srcFactorOut = srcFactorOut
    self.srcFactorIn = srcFactorIn
  }

  /// How often the body runs.
  package var stepCount: Int { max(0, uopEnd - uopBegin) * iterOut * iterIn }
}

package struct Gemm: Hashable, Sendable {
  /// Clear the accumulator instead of accumulating.
  package var reset: Bool
  package var loops: LoopNest
  package var wgtFactorOut: Int
  package var wgtFactorIn: Int

  package init(reset: Bool, loops: LoopNest, wgtFactorOut: Int = 0, wgtFactorIn: Int = 0) {
    self.reset = reset
    self.loops = loops
    self.wgtFactorOut = wgtFactorOut
    self.wgtFactorIn = wgtFactorIn
  }
}

package struct ALU: Hashable, Sendable {
  package enum Operand: Hashable, Sendable {
    case accumulator
    /// 16-bit two's complement.
    case immediate(Int)
  }
  package var opcode: ALUOpcode
  package var operand: Operand
  package var loops: LoopNest
  /// Present in the format, ignored by every implementation; kept so that decoding loses nothing.
  package var reset: Bool
  /// The immediate field of an instruction that does not use it, likewise.
  package var unusedImmediate: Int

  package init(
    opcode: ALUOpcode, operand: Operand, loops: LoopNest, reset: Bool = false,
    unusedImmediate: Int = 0
  ) {
    self.opcode = opcode
    self.operand = operand
    self.loops = loops
    self.reset = reset
    self.unusedImmediate = unusedImmediate
  }

  /// Contents of the immediate field, used or not.
  package var immediateField: Int {
    switch operand {
    case .accumulator: unusedImmediate
    case .immediate(let value): value
    }
  }
}

package enum Operation: Hashable, Sendable {
  case load(Transfer)
  case store(Transfer)
  case gemm(Gemm)
  case alu(ALU)
  case finish
}

package struct Instruction: Hashable, Sendable {
  package var operation: Operation
  package var flags: DependenceFlags

  package init(_ operation: Operation, _ flags: DependenceFlags = []) {
    self.operation = operation
    self.flags = flags
  }

  package var opcode: Opcode {
    switch operation {
    case .load: .load
    case .store: .store
    case .gemm: .gemm
    case .alu: .alu
    case .finish: .finish
    }
  }

  /// The queue that fetch puts it into (section 4.1).
  package var module: ExecutionModule {
    switch operation {
    case .load(let transfer) where transfer.memory == .inp || transfer.memory == .wgt: .load
    case .store: .store
    default: .compute
    }
  }
}

/// The indices that one step of a GEMM or ALU adds to its loop factors (section 2.8).
package struct MicroOp: Hashable, Sendable {
  package var dst: Int
  /// INP index for GEMM, ACC index for ALU.
  package var src: Int
  /// GEMM only.
  package var wgt: Int

  package init(dst: Int, src: Int, wgt: Int = 0) {
    self.dst = dst
    self.src = src
    self.wgt = wgt
  }
}
