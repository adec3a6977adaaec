/// Strict mode of the simulator: notes every use of something on which implementations differ, every hazard of a
/// pipeline without bypass, and every degenerate extent (reference/vta-hardware.md, sections 3 and 9.1).
package struct PortabilityMonitor {
  package struct Observation: Hashable, Sendable, CustomStringConvertible {
    package let instruction: Int
    package let message: String

    package var description: String { "instruction \(instruction): \(message)" }
  }

  package private(set) var observations: [Observation] = []
  /// Most micro-ops that every implementation holds.
  private static let portableMicroOpDepth = 2048
  private static let chiselBeatsPerBurst = 16

  private enum Writer: UInt8 {
    case none
    case result
    case reset
    case load
  }

  private let configuration: HardwareConfiguration
  /// Per accumulator: what a STORE of its OUT element would find.
  private var writers: [Writer]

  init(_ configuration: HardwareConfiguration) {
    self.configuration = configuration
    writers = Array(repeating: .none, count: configuration.depth(.acc))
  }

  /// To be called before the instruction executes.
  mutating func note(_ instruction: Instruction, at index: Int, _ pads: Scratchpads) {
    var messages = Messages()
    switch instruction.operation {
    case .load(let transfer): note(load: transfer, &messages)
    case .store(let transfer): note(store: transfer, &messages)
    case .gemm(let gemm): note(gemm, pads, &messages)
    case .alu(let alu): note(alu, pads, &messages)
    case .finish: break
    }
    observations += messages.byKind.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      Observation(instruction: index, message: $0.value)
    }
  }

  // MARK: Transfers

  private mutating func note(load t: Transfer, _ messages: inout Messages) {
    if t.isNop { return }
    if t.xSize == 0 || t.ySize == 0 {
      messages.add(.zeroExtent, "an extent is 0: a no-op, padding alone, or a hang")
    }
    switch t.memory {
    case .out: messages.add(.loadOfOut, "LOAD of OUT: a fault, nothing, or a hang")
    case .acc8bit: messages.add(.acc8bit, "LOAD of ACC_8BIT: missing from all published hardware")
    case .uop:
      if t.ySize != 1 || t.hasPadding {
        messages.add(.microOpRows, "LOAD of micro-ops in more than one plain row")
      }
      if t.xSize > 0,
        !PairedMicroOpLoad.isExact(
          sramBase: t.sramBase, dramBase: Int(t.dramBase), count: t.xSize,
          beatsPerBurst: Self.chiselBeatsPerBurst)
      {
        messages.add(
          .microOpPairs, "LOAD of micro-ops that Chisel-2020 gets wrong: parity, odd length or burst length")
      }
    case .wgt, .acc:
      if t.hasPadding {
        messages.add(.padding, "padding of a LOAD of \(t.memory), which some hardware ignores")
      }
    case .inp: break
    }
    if t.memory == .acc || t.memory == .acc8bit {
      mark(t.sramBase..<t.sramBase + t.loadedCount, .load)
    }
  }

  private mutating func note(store t: Transfer, _ messages: inout Messages) {
    if t.isNop { return }
    if t.xSize == 0 || t.ySize == 0 { messages.add(.zeroExtent, "an extent is 0: nothing, or 65536 rows") }
    if t.memory != .out { messages.add(.storeType, "STORE of \(t.memory): refused, or stores OUT") }
    if t.hasPadding { messages.add(.storePadding, "STORE with padding: refused, or ignored") }
    let range = t.sramBase..<min(writers.count, t.sramBase + t.xSize * t.ySize)
    guard let element = range.first(where: { writers[$0] != .result }) else { return }
    let what =
      switch writers[element] {
      case .reset: "after a GEMM reset: zero, garbage or the old value"
      case .load: "after a LOAD of ACC: the new value, or the old one"
      case .none, .result: "which nothing has written"
      }
    messages.add(.storeContent, "STORE of OUT element \(element), \(what)")
  }

  private mutating func mark(_ range: Range<Int>, _ writer: Writer) {
    for element in range where element < writers.count { writers[element] = writer }
  }

  // MARK: Loops

  private mutating func note(_ gemm: Gemm, _ pads: Scratchpads, _ messages: inout Messages) {
    note(gemm.loops, &messages)
    var recent = RecentSteps()
    forEachStep(gemm.loops, pads) { step in
      if step.isFirstOfKernel { recent = RecentSteps() }
      if !gemm.reset, recent.writes(step.dst, within: 2) {
        messages.add(
          .hlsHazard,
          "accumulator \(step.dst) is used again within two micro-ops: HLS hardware reads a stale value")
      }
      recent.append(step.dst)
      mark(step.dst..<step.dst + 1, gemm.reset ? .reset : .result)
    }
  }

  private mutating func note(_ alu: ALU, _ pads: Scratchpads, _ messages: inout Messages) {
    note(alu.loops, &messages)
    if alu.opcode == .mul { messages.add(.multiply, "MUL: missing from all published hardware") }
    if alu.opcode == .shr, case .immediate(let value) = alu.operand,
      !Limits.portableShiftImmediate.contains(value)
    {
      messages.add(.shift, "SHR by \(value): implementations agree on -16…15 only")
    }
    var recent = RecentSteps()
    var kernel = RecentSteps()
    forEachStep(alu.loops, pads) { step in
      if step.wgt != 0 {
        messages.add(.wgtIndex, "an ALU micro-op with a wgt index, which Chisel adds to the source")
      }
      if alu.operand == .accumulator {
        if alu.opcode == .shr { note(shiftBy: step.src, pads, &messages) }
      } else if step.src != step.dst {
        messages.add(
          .immediateSource,
          "an immediate with src \(step.src) and dst \(step.dst): Chisel-2021 reads src, others dst")
      }
      let read = alu.operand == .accumulator ? step.src : step.dst
      if recent.writes(read, within: 1) {
        messages.add(
          .chiselHazard,
          "accumulator \(read) is read right after it was written: Chisel-2021 reads a stale value")
      }
      if step.isFirstOfKernel { kernel = RecentSteps() }
      if kernel.writes(read, within: 2) || kernel.writes(step.dst, within: 2) {
        messages.add(
          .hlsHazard,
          "accumulator \(read) is used again within two micro-ops: HLS hardware reads a stale value")
      }
      kernel.append(step.dst)
      recent.append(step.dst)
      mark(step.dst..<step.dst + 1, .result)
    }
  }

  private func note(_ loops: LoopNest, _ messages: inout Messages) {
    if loops.stepCount == 0 { messages.add(.zeroExtent, "a loop of extent 0: nothing, or without end") }
    if loops.uopEnd > Self.portableMicroOpDepth {
      messages.add(
        .microOpDepth, "micro-op \(loops.uopEnd - 1): Chisel hardware holds \(Self.portableMicroOpDepth)")
    }
    if configuration.batch > 1 { messages.add(.batch, "BATCH \(configuration.batch): Chisel hardware has 1") }
  }

  private func note(shiftBy src: Int, _ pads: Scratchpads, _ messages: inout Messages) {
    guard src < writers.count else { return }
    let amounts = pads.acc[src * pads.accLanes..<(src + 1) * pads.accLanes]
    if let amount = amounts.first(where: { !Limits.portableShiftOperand.contains(Int($0)) }) {
      messages.add(.shift, "SHR by \(amount) from accumulator \(src): implementations agree on 0…15 only")
    }
  }

  private struct Step {
    let dst: Int
    let src: Int
    let wgt: Int
    let isFirstOfKernel: Bool
  }

  private func forEachStep(_ l: LoopNest, _ pads: Scratchpads, _ body: (Step) -> Void) {
    guard l.uopBegin < l.uopEnd, l.uopEnd <= pads.uop.count else { return }
    for out in 0..<l.iterOut {
      for `in` in 0..<l.iterIn {
        for u in l.uopBegin..<l.uopEnd {
          let uop = pads.uop[u]
          body(
            Step(
              dst: uop.dst + out * l.dstFactorOut + `in` * l.dstFactorIn,
              src: uop.src + out * l.srcFactorOut + `in` * l.srcFactorIn, wgt: uop.wgt,
              isFirstOfKernel: u == l.uopBegin))
        }
      }
    }
  }
}

/// Destinations of the last two micro-ops.
private struct RecentSteps {
  private var last = -1
  private var beforeLast = -1

  func writes(_ index: Int, within count: Int) -> Bool { last == index || (count > 1 && beforeLast == index) }

  mutating func append(_ dst: Int) {
    beforeLast = last
    last = dst
  }
}

/// At most one message of each sort per instruction.
private struct Messages {
  enum Kind: Int {
    case zeroExtent
    case loadOfOut
    case acc8bit
    case microOpRows
    case microOpPairs
    case padding
    case storeType
    case storePadding
    case storeContent
    case hlsHazard
    case multiply
    case shift
    case wgtIndex
    case immediateSource
    case chiselHazard
    case microOpDepth
    case batch
  }

  private(set) var byKind: [Kind: String] = [:]

  mutating func add(_ kind: Kind, _ message: @autoclosure () -> String) {
    if byKind[kind] == nil { byKind[kind] = message() }
  }
}
