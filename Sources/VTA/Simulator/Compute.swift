/// GEMM and ALU (reference/vta-hardware.md, sections 3.4 to 3.6).
extension FunctionalSimulator {
  mutating func gemm(_ g: Gemm) throws(ExecutionFault) {
    let l = g.loops
    let keepsOut = target.profile.hasSeparateOutBuffer
    let writesOut = keepsOut && !(g.reset && target.profile.resetOutput == .unchanged)
    try checkLoops(l)
    for out in 0..<l.iterOut {
      for `in` in 0..<l.iterIn {
        for u in l.uopBegin..<max(l.uopBegin, l.uopEnd) {
          let uop = pads.uop[u]
          let d = uop.dst + out * l.dstFactorOut + `in` * l.dstFactorIn
          try check(.acc, d)
          if g.reset && !writesOut {
            for lane in 0..<pads.accLanes { pads.acc[d * pads.accLanes + lane] = 0 }
            continue
          }
          let s = uop.src + out * l.srcFactorOut + `in` * l.srcFactorIn
          let w = uop.wgt + out * g.wgtFactorOut + `in` * g.wgtFactorIn
          try check(.inp, s)
          try check(.wgt, w)
          accumulate(d, s, w, reset: g.reset, writesOut: writesOut)
        }
      }
    }
  }

  /// `ACC[d][b][o] += Σ_k INP[s][b][k] · WGT[w][o][k]`, modulo 2^32.
  private mutating func accumulate(_ d: Int, _ s: Int, _ w: Int, reset: Bool, writesOut: Bool) {
    let block = target.configuration.block
    let bits = target.configuration.outBits
    for b in 0..<target.configuration.batch {
      let inp = s * pads.inpLanes + b * block
      for o in 0..<block {
        let wgt = w * pads.wgtLanes + o * block
        var sum: Int32 = 0
        for k in 0..<block {
          sum &+= Int32(pads.inp[inp + k]) &* Int32(pads.wgt[wgt + k])
        }
        let lane = d * pads.accLanes + b * block + o
        let total = pads.acc[lane] &+ sum
        pads.acc[lane] = reset ? 0 : total
        if writesOut { pads.out[lane] = Scratchpads.truncate(total, bits: bits) }
      }
    }
  }

  mutating func alu(_ a: ALU) throws(ExecutionFault) {
    let l = a.loops
    let bits = target.configuration.outBits
    if a.opcode == .mul && !target.profile.hasMultiply {
      // HLS goes on, with OUT undefined (section 3.5): nothing that a simulator could reproduce.
      throw .unsupported("MUL does not exist under the profile \(target.profile.name)")
    }
    try checkLoops(l)
    for out in 0..<l.iterOut {
      for `in` in 0..<l.iterIn {
        for u in l.uopBegin..<max(l.uopBegin, l.uopEnd) {
          let uop = pads.uop[u]
          let d = uop.dst + out * l.dstFactorOut + `in` * l.dstFactorIn
          let s = uop.src + out * l.srcFactorOut + `in` * l.srcFactorIn
          let left = a.operand == .accumulator || target.profile.immediateOperand == .dst ? d : s
          try check(.acc, d)
          if a.operand == .accumulator || left == s { try check(.acc, s) }
          if target.profile.joinsALUSourceFields && uop.wgt != 0 {
            throw .unsupported("an ALU micro-op with a wgt index has no meaning on Chisel hardware")
          }
          for lane in 0..<pads.accLanes {
            let right: Int32 =
              switch a.operand {
              case .accumulator: pads.acc[s * pads.accLanes + lane]
              case .immediate(let value): Int32(value)
              }
            let result = apply(a, pads.acc[left * pads.accLanes + lane], right)
            pads.acc[d * pads.accLanes + lane] = result
            if target.profile.hasSeparateOutBuffer {
              pads.out[d * pads.accLanes + lane] = Scratchpads.truncate(result, bits: bits)
            }
          }
        }
      }
    }
  }

  private func apply(_ a: ALU, _ left: Int32, _ right: Int32) -> Int32 {
    switch a.opcode {
    case .min: return min(left, right)
    case .max: return max(left, right)
    case .add: return left &+ right
    case .mul: return left &* right
    case .shr:
      // Masking shifts take the amount modulo 32.
      switch target.profile.shiftRule {
      case .signOfAmount: return right >= 0 ? left &>> right : left &<< (0 &- right)
      case .signedFiveBits:
        let amount = ((right &+ 16) & 31) - 16
        return amount >= 0 ? left &>> amount : left &<< -amount
      case .immediateBit15: return a.immediateField >= 0 ? left &>> right : left &<< (0 &- right)
      }
    }
  }

  private func checkLoops(_ l: LoopNest) throws(ExecutionFault) {
    if l.stepCount == 0 && target.profile.zeroExtent == .runsAway {
      throw .unsupported("a loop of extent 0 never ends under the profile \(target.profile.name)")
    }
    if l.uopEnd > l.uopBegin { try check(.uop, l.uopEnd - 1) }
  }
}
