/// One line of text per instruction, from the field tables.
package struct Disassembler: Sendable {
  package let instructionSet: InstructionSet

  package init(_ instructionSet: InstructionSet) { self.instructionSet = instructionSet }

  /// `load.inp  pop_next push_next  sram=0x20 dram=0x12345 y=4 x=6 stride=14 pad=1,0,1,2`; a zero field that says
  /// nothing is left out.
  package func text(_ instruction: Instruction) -> String {
    var parts = [mnemonic(instruction)]
    let flags: [(DependenceFlags, String)] = [
      (.popPrev, "pop_prev"), (.popNext, "pop_next"), (.pushPrev, "push_prev"),
      (.pushNext, "push_next"),
    ]
    parts += flags.filter { instruction.flags.contains($0.0) }.map(\.1)
    parts += operands(instruction)
    return parts.joined(separator: " ")
  }

  /// The line for bits that may be no instruction at all.
  package func text(_ words: InstructionWords) -> String {
    do {
      return text(try instructionSet.decode(words))
    } catch {
      return "invalid \(Self.hex(words.word0)) \(Self.hex(words.word1)) (\(error))"
    }
  }

  package func text(_ microOp: MicroOp) -> String {
    "dst=\(microOp.dst) src=\(microOp.src) wgt=\(microOp.wgt)"
  }

  private func mnemonic(_ instruction: Instruction) -> String {
    switch instruction.operation {
    case .load(let transfer): "load.\(transfer.memory)"
    case .store: "store"
    case .gemm(let gemm): gemm.reset ? "gemm.reset" : "gemm"
    case .alu(let alu): "alu.\(alu.opcode)"
    case .finish: "finish"
    }
  }

  private func operands(_ instruction: Instruction) -> [String] {
    switch instruction.operation {
    case .load(let t), .store(let t):
      guard t.xSize != 0 || t.ySize != 0 || t.hasPadding else { return ["nop"] }
      var parts = [
        "sram=\(Self.hex(UInt64(t.sramBase)))", "dram=\(Self.hex(UInt64(t.dramBase)))", "y=\(t.ySize)",
        "x=\(t.xSize)", "stride=\(t.xStride)",
      ]
      if t.hasPadding { parts.append("pad=\(t.yPad0),\(t.yPad1),\(t.xPad0),\(t.xPad1)") }
      return parts
    case .gemm(let gemm):
      return loops(gemm.loops) + [pair("wgt", gemm.wgtFactorOut, gemm.wgtFactorIn)]
    case .alu(let alu):
      return switch alu.operand {
      case .accumulator: loops(alu.loops)
      case .immediate(let value): ["imm=\(value)"] + loops(alu.loops)
      }
    case .finish: return []
    }
  }

  private func loops(_ loops: LoopNest) -> [String] {
    [
      "uop=\(loops.uopBegin)..<\(loops.uopEnd)", "iter=\(loops.iterOut)x\(loops.iterIn)",
      pair("dst", loops.dstFactorOut, loops.dstFactorIn),
      pair("src", loops.srcFactorOut, loops.srcFactorIn),
    ]
  }

  private func pair(_ name: String, _ out: Int, _ in: Int) -> String { "\(name)=\(out)/\(`in`)" }

  private static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}
