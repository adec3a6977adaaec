@testable import VTA

/// The packing rule of reference/vta-hardware.md, section 2.2, once more and naively: an instruction is a string of
/// bits, and a field that would straddle a container is preceded by a hole.
struct PackingOracle {
  private let widths: (uop: Int, inp: Int, wgt: Int, acc: Int)
  private let revision: ISARevision
  private let values: [String: Int]

  init(_ candidate: ConfigurationSweep.Candidate, _ revision: ISARevision) {
    let c = candidate
    self.revision = revision
    values = c.values
    // Section 1.2, second table.
    widths = (
      c.buffers.uop - 5 + 3, c.buffers.inp - c.batch - c.block - c.inpWidth + 3,
      c.buffers.wgt - 2 * c.block - c.wgtWidth + 3, c.buffers.acc - c.batch - c.block - 5 + 3
    )
  }

  /// Whether such an accelerator can exist: section 1.6 and our own bounds of depths.
  var isLegal: Bool {
    let (uop, inp, wgt, acc) = widths
    guard [uop, inp, wgt, acc].allSatisfy({ (1...16).contains($0) }) else { return false }
    let elementBits = [
      ("LOG_INP_WIDTH", values["LOG_BATCH", default: 0]), ("LOG_WGT_WIDTH", values["LOG_BLOCK", default: 0]),
      ("LOG_ACC_WIDTH", values["LOG_BATCH", default: 0]),
    ].map { values[$0, default: 0] + $1 + values["LOG_BLOCK", default: 0] }
    guard elementBits.allSatisfy({ (3...15).contains($0) }) else { return false }
    let nest = LoopNest(uopBegin: 0, uopEnd: 0)
    let formats = [
      words(of: Instruction(.gemm(Gemm(reset: false, loops: nest)))),
      words(of: Instruction(.alu(ALU(opcode: .min, operand: .accumulator, loops: nest)))),
    ]
    return formats.allSatisfy { $0.count <= 2 } && words(of: MicroOp(dst: 0, src: 0)).count == 1
  }

  func words(of microOp: MicroOp) -> [UInt64] {
    let (_, inp, wgt, acc) = widths
    let source = revision == .a ? inp : max(acc, inp)
    return pack([(microOp.dst, acc), (microOp.src, source), (microOp.wgt, wgt)], container: 32)
  }

  func words(of instruction: Instruction) -> [UInt64] {
    let flags = instruction.flags
    let header = [DependenceFlags.popPrev, .popNext, .pushPrev, .pushNext].map {
      (flags.contains($0) ? 1 : 0, 1)
    }
    let (_, inp, wgt, acc) = widths
    switch instruction.operation {
    case .load(let t): return pack([(0, 3)] + header + rows(t, code: t.memory.rawValue))
    case .store(let t):
      return pack([(1, 3)] + header + rows(t, code: revision == .a ? 0 : t.memory.rawValue))
    case .gemm(let g):
      let tail = [
        (g.loops.srcFactorOut, inp), (g.loops.srcFactorIn, inp), (g.wgtFactorOut, wgt), (g.wgtFactorIn, wgt),
      ]
      return pack([(2, 3)] + header + rows(g.loops, reset: g.reset) + tail)
    case .alu(let a):
      let source = revision == .a ? inp : acc
      let (useImm, imm) =
        if case .immediate(let value) = a.operand { (1, value) } else { (0, a.unusedImmediate) }
      let tail = [
        (a.loops.srcFactorOut, source), (a.loops.srcFactorIn, source),
        (a.opcode.rawValue, revision == .a ? 2 : 3), (useImm, 1), (imm, 16),
      ]
      return pack([(4, 3)] + header + rows(a.loops, reset: a.reset) + tail)
    case .finish: return pack([(3, 3)] + header, words: 2)
    }
  }

  private func rows(_ t: Transfer, code: Int) -> [(Int, Int)] {
    [
      (code, revision == .a ? 2 : 3), (t.sramBase, 16), (Int(t.dramBase), 32), (t.ySize, 16), (t.xSize, 16),
      (t.xStride, 16), (t.yPad0, 4), (t.yPad1, 4), (t.xPad0, 4), (t.xPad1, 4),
    ]
  }

  private func rows(_ l: LoopNest, reset: Bool) -> [(Int, Int)] {
    [
      (reset ? 1 : 0, 1), (l.uopBegin, widths.uop), (l.uopEnd, widths.uop + 1), (l.iterOut, 14),
      (l.iterIn, 14), (l.dstFactorOut, widths.acc), (l.dstFactorIn, widths.acc),
    ]
  }

  private func pack(_ fields: [(value: Int, width: Int)], container: Int = 64, words: Int = 0) -> [UInt64] {
    var bits = ""
    for (value, width) in fields {
      let room = container - bits.count % container
      if width > room { bits += String(repeating: "0", count: room) }
      for bit in 0..<width { bits += value >> bit & 1 == 1 ? "1" : "0" }
    }
    while bits.count % container != 0 || bits.count < words * container { bits += "0" }
    return stride(from: 0, to: bits.count, by: container).map { start in
      UInt64(String(bits.dropFirst(start).prefix(container).reversed()), radix: 2) ?? 0
    }
  }
}

/// Shapes around those that exist, legal or not.
enum ConfigurationSweep {
  struct Candidate: Sendable {
    let batch: Int
    let block: Int
    let inpWidth: Int
    let wgtWidth: Int
    let buffers: (uop: Int, inp: Int, wgt: Int, acc: Int)

    var values: [String: Int] {
      [
        "LOG_INP_WIDTH": inpWidth, "LOG_WGT_WIDTH": wgtWidth, "LOG_ACC_WIDTH": 5, "LOG_BATCH": batch,
        "LOG_BLOCK": block, "LOG_UOP_BUFF_SIZE": buffers.uop, "LOG_INP_BUFF_SIZE": buffers.inp,
        "LOG_WGT_BUFF_SIZE": buffers.wgt, "LOG_ACC_BUFF_SIZE": buffers.acc,
      ]
    }
  }

  static let all: [Candidate] = {
    var candidates: [Candidate] = []
    for batch in [0, 1, 2] {
      for block in [3, 4, 5] {
        for widths in [(3, 3), (3, 2), (2, 2), (1, 1)] {
          for uop in [10, 13, 15, 16] {
            for inp in [14, 15, 16] {
              for wgt in [15, 17, 18] {
                for acc in [16, 17, 18] {
                  candidates.append(
                    Candidate(
                      batch: batch, block: block, inpWidth: widths.0, wgtWidth: widths.1,
                      buffers: (uop, inp, wgt, acc)))
                }
              }
            }
          }
        }
      }
    }
    return candidates
  }()
}
