/// Checks that need one instruction and the micro-ops resident before it: existence under the profile, bounds, memory.
struct InstructionCheck {
  private let target: Target
  private let instructionSet: InstructionSet?
  private let extents: [ProgramVerifier.Extent]
  private let window: Range<UInt64>
  private var microOps: MicroOpTable

  init(target: Target, extents: [ProgramVerifier.Extent], window: Range<UInt64>) {
    self.target = target
    instructionSet = try? InstructionSet(
      configuration: target.configuration, revision: target.profile.revision)
    self.extents = extents.sorted { $0.address < $1.address }
    self.window = window
    microOps = MicroOpTable(
      depth: target.profile.microOpDepth(target.configuration), configuration: target.configuration)
  }

  private var profile: HardwareProfile { target.profile }

  /// Regions that the accelerator cannot reach.
  var extentMessages: [String] {
    extents.filter { $0.byteCount > 0 && !(window.contains($0.address) && $0.end <= window.upperBound) }.map {
      "the region at \(hex($0.address))..<\(hex($0.end)) lies outside the accelerator's address window "
        + "\(hex(window.lowerBound))..<\(hex(window.upperBound))"
    }
  }

  /// - Parameter accesses: receives what the instruction touches, if it is in bounds.
  mutating func messages(
    _ instruction: Instruction, _ stored: StoredMemory, _ readMicroOps: (UInt64, Int) -> [UInt32]?,
    _ accesses: inout [Access]
  ) -> [String] {
    var messages = flagMessages(instruction)
    switch instruction.operation {
    case .load(let transfer): messages += loadMessages(transfer, stored, readMicroOps, &accesses)
    case .store(let transfer): messages += storeMessages(transfer, &accesses)
    case .gemm(let gemm): messages += gemmMessages(gemm, &accesses)
    case .alu(let alu): messages += aluMessages(alu, &accesses)
    case .finish: break
    }
    return messages
  }

  private func flagMessages(_ instruction: Instruction) -> [String] {
    switch instruction.module {
    case .load where !instruction.flags.isDisjoint(with: [.popPrev, .pushPrev]):
      ["the load module has no module before it to exchange tokens with"]
    case .store where !instruction.flags.isDisjoint(with: [.popNext, .pushNext]):
      ["the store module has no module behind it to exchange tokens with"]
    default: []
    }
  }

  // MARK: Transfers

  private mutating func loadMessages(
    _ t: Transfer, _ stored: StoredMemory, _ readMicroOps: (UInt64, Int) -> [UInt32]?,
    _ accesses: inout [Access]
  ) -> [String] {
    if t.memory == .out { return ["LOAD of OUT does not exist"] }
    if t.memory == .acc8bit && !profile.hasAcc8BitLoad {
      return ["the profile \(profile.name) has no LOAD of ACC_8BIT"]
    }
    if t.isNop { return [] }
    if t.xSize == 0 || t.ySize == 0 { return ["an extent is 0: implementations differ in what that does"] }
    if t.hasPadding && !profile.paddedLoads.contains(t.memory) {
      return ["the profile \(profile.name) ignores the padding of \(t.memory) loads"]
    }
    if t.memory == .uop, let message = microOpLoadMessage(t) { return [message] }
    let depth = profile.depth(t.memory, target.configuration)
    let end = t.sramBase + t.loadedCount
    guard end <= depth else {
      return ["writes \(t.memory) elements up to \(end - 1), but the scratchpad has \(depth)"]
    }
    let rows = t.rows(elementBytes: target.configuration.elementBytes(t.memory))
    let messages = memoryMessages(t, rows, writes: false)
    guard messages.isEmpty else { return messages }
    if t.memory == .uop { return noteMicroOps(t, rows, stored, readMicroOps) }
    accesses = [.memory(rows, isWrite: false), .scratchpad(t.memory, .range(t.sramBase..<end), .write)]
    return []
  }

  private func microOpLoadMessage(_ t: Transfer) -> String? {
    switch profile.microOpLoad {
    case .rows: return nil
    case .oneRow, .pairs:
      if t.ySize != 1 || t.hasPadding { return "the profile \(profile.name) loads micro-ops in one row only" }
    }
    if case .pairs(let beats) = profile.microOpLoad,
      !PairedMicroOpLoad.isExact(
        sramBase: t.sramBase, dramBase: Int(t.dramBase), count: t.xSize, beatsPerBurst: beats)
    {
      return "the profile \(profile.name) loads micro-ops in pairs and moves others than these: "
        + "make both addresses even, and at most \(2 * beats) in one load"
    }
    return nil
  }

  private func storeMessages(_ t: Transfer, _ accesses: inout [Access]) -> [String] {
    if t.isNop { return [] }
    if t.xSize == 0 || t.ySize == 0 { return ["an extent is 0: implementations differ in what that does"] }
    if t.hasPadding { return ["STORE has no padding"] }
    if t.memory != .out { return ["only OUT can be stored"] }
    let depth = target.configuration.depth(.out)
    let end = t.sramBase + t.ySize * t.xSize
    guard end <= depth else {
      return ["reads out elements up to \(end - 1), but the scratchpad has \(depth)"]
    }
    let rows = t.rows(elementBytes: target.configuration.elementBytes(.out))
    let messages = memoryMessages(t, rows, writes: true)
    guard messages.isEmpty else { return messages }
    accesses = [.scratchpad(.out, .range(t.sramBase..<end), .read), .memory(rows, isWrite: true)]
    return []
  }

  /// Rows ascend, so the first and the last byte decide whether all rows lie inside.
  private func memoryMessages(_ t: Transfer, _ rows: Access.Rows, writes: Bool) -> [String] {
    let end = rows.row(rows.count - 1).upperBound
    guard end <= MemoryFault.addressSpaceEnd else {
      return ["reaches beyond the accelerator's 4 GiB address space"]
    }
    guard let extent = extent(containing: rows.first), end <= extent.end else {
      let range = "\(hex(rows.first))..<\(hex(end))"
      return ["touches memory at \(range), which is not inside one of the program's regions"]
    }
    let size = UInt64(target.configuration.elementBytes(t.memory))
    guard extent.address % size == 0 else {
      return [
        "its region starts at \(hex(extent.address)), which is no multiple of the \(size) bytes of an element"
      ]
    }
    return writes && !extent.isWritable ? ["writes to a region that is read-only"] : []
  }

  private func extent(containing address: UInt64) -> ProgramVerifier.Extent? {
    var (low, high) = (0, extents.count)
    while low < high {
      let middle = (low + high) / 2
      if extents[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, address - extents[low - 1].address < extents[low - 1].byteCount else { return nil }
    return extents[low - 1]
  }

  private mutating func noteMicroOps(
    _ t: Transfer, _ rows: Access.Rows, _ stored: StoredMemory, _ readMicroOps: (UInt64, Int) -> [UInt32]?
  ) -> [String] {
    guard let instructionSet else { return [] }
    let zero = MicroOp(dst: 0, src: 0)
    let pitch = t.xPad0 + t.xSize + t.xPad1
    var loaded = Array(repeating: zero, count: t.loadedCount)
    for row in 0..<t.ySize {
      let bytes = rows.row(row)
      guard !stored.overlaps(bytes), let bits = readMicroOps(bytes.lowerBound, t.xSize) else {
        return ["loads micro-ops from memory that programs can write to"]
      }
      let start = (t.yPad0 + row) * pitch + t.xPad0
      for (index, value) in bits.enumerated() {
        loaded[start + index] = instructionSet.decode(microOp: value)
      }
    }
    microOps.load(loaded, at: t.sramBase)
    return []
  }

  // MARK: Loops

  private mutating func gemmMessages(_ gemm: Gemm, _ accesses: inout [Access]) -> [String] {
    let l = gemm.loops
    let range: MicroOpTable.Range
    switch microOpRange(l) {
    case .failure(let refusal): return [refusal.message]
    case .success(let found): range = found
    }
    var messages = boundMessages(.acc, range.dstMax, l, l.dstFactorOut, l.dstFactorIn)
    if !gemm.reset {
      messages += boundMessages(.inp, range.srcMax, l, l.srcFactorOut, l.srcFactorIn)
      messages += boundMessages(.wgt, range.wgtMax, l, gemm.wgtFactorOut, gemm.wgtFactorIn)
      if profile.hazards == .nearbyAccumulators, let index = range.reusedDst { messages.append(reuse(index)) }
    }
    guard messages.isEmpty else { return messages }
    let dst = Access.Elements.set(Self.looped(range.dst, l, l.dstFactorOut, l.dstFactorIn))
    if gemm.reset {
      accesses = [.scratchpad(.acc, dst, .write)]
      if profile.hasSeparateOutBuffer && profile.resetOutput != .unchanged {
        accesses.append(.scratchpad(.out, dst, profile.resetOutput == .oldPlusDot ? .garbage : .write))
      }
      return []
    }
    accesses = [
      .scratchpad(.inp, .set(Self.looped(range.src, l, l.srcFactorOut, l.srcFactorIn)), .read),
      .scratchpad(.wgt, .set(Self.looped(range.wgt, l, gemm.wgtFactorOut, gemm.wgtFactorIn)), .read),
      .scratchpad(.acc, dst, .read), .scratchpad(.acc, dst, .write),
    ]
    if profile.hasSeparateOutBuffer { accesses.append(.scratchpad(.out, dst, .write)) }
    return []
  }

  private mutating func aluMessages(_ alu: ALU, _ accesses: inout [Access]) -> [String] {
    if alu.opcode == .mul && !profile.hasMultiply { return ["the profile \(profile.name) has no MUL"] }
    let l = alu.loops
    let range: MicroOpTable.Range
    switch microOpRange(l) {
    case .failure(let refusal): return [refusal.message]
    case .success(let found): range = found
    }
    var messages = boundMessages(.acc, range.dstMax, l, l.dstFactorOut, l.dstFactorIn)
    let isTensor = alu.operand == .accumulator
    let readsSrc = isTensor || profile.immediateOperand == .src
    if readsSrc { messages += boundMessages(.acc, range.srcMax, l, l.srcFactorOut, l.srcFactorIn) }
    if alu.opcode == .shr, case .immediate(let value) = alu.operand,
      !profile.definedShiftImmediates.contains(value)
    {
      messages.append("shifts by \(value), which is undefined under the profile \(profile.name)")
    }
    if profile.joinsALUSourceFields && !range.wgtIsZero {
      messages.append("an ALU micro-op has a wgt index, which the profile \(profile.name) adds to its source")
    }
    if let index = hazard(range, isTensor: isTensor) { messages.append(reuse(index)) }
    guard messages.isEmpty else { return messages }
    let dst = Access.Elements.set(Self.looped(range.dst, l, l.dstFactorOut, l.dstFactorIn))
    let src = Access.Elements.set(Self.looped(range.src, l, l.srcFactorOut, l.srcFactorIn))
    if readsSrc { accesses.append(.scratchpad(.acc, src, .read)) }
    if isTensor || !readsSrc { accesses.append(.scratchpad(.acc, dst, .read)) }
    accesses.append(.scratchpad(.acc, dst, .write))
    if profile.hasSeparateOutBuffer { accesses.append(.scratchpad(.out, dst, .write)) }
    return []
  }

  private func hazard(_ range: MicroOpTable.Range, isTensor: Bool) -> Int? {
    switch profile.hazards {
    case .none: nil
    case .nearbyAccumulators: range.reusedDst ?? (isTensor ? range.reusedSrc : nil)
    case .aluReadsPreviousResult: isTensor ? range.previousSrc : range.previousDst
    }
  }

  private func reuse(_ index: Int) -> String {
    "micro-op \(index) uses an accumulator too soon after another writes it: "
      + "the pipeline of the profile \(profile.name) reads the old value"
  }

  private struct Refusal: Error {
    let message: String
  }

  private mutating func microOpRange(_ l: LoopNest) -> Result<MicroOpTable.Range, Refusal> {
    guard l.uopBegin < l.uopEnd, l.iterOut > 0, l.iterIn > 0 else {
      return .failure(
        Refusal(message: "an extent of the loop is 0: implementations differ in what that does"))
    }
    guard l.stepCount <= Limits.instructionStepsMax else {
      return .failure(
        Refusal(
          message: "takes \(l.stepCount) steps and would keep the device from everything else; "
            + "at most \(Limits.instructionStepsMax) are allowed in one instruction"))
    }
    guard l.uopEnd <= microOps.count else {
      return .failure(
        Refusal(message: "uses micro-ops up to \(l.uopEnd - 1), but the buffer has \(microOps.count)"))
    }
    do throws(MicroOpTable.Missing) {
      return .success(try microOps.range(l.uopBegin..<l.uopEnd))
    } catch {
      switch error {
      case .neverLoaded(let index): return .failure(Refusal(message: "micro-op \(index) was never loaded"))
      }
    }
  }

  private func boundMessages(
    _ memory: MemoryType, _ base: Int, _ l: LoopNest, _ out: Int, _ in: Int
  ) -> [String] {
    let last = base + (l.iterOut - 1) * out + (l.iterIn - 1) * `in`
    let depth = target.configuration.depth(memory)
    return last < depth ? [] : ["reaches \(memory) element \(last), but the scratchpad has \(depth)"]
  }

  /// All elements that a loop nest around micro-ops touches; in bounds.
  private static func looped(_ base: TileSet, _ l: LoopNest, _ out: Int, _ in: Int) -> TileSet {
    var set = base
    set.repeated(extent: l.iterIn, factor: `in`)
    set.repeated(extent: l.iterOut, factor: out)
    return set
  }

  private func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}

extension ProgramVerifier.Extent {
  var end: UInt64 { byteCount > .max - address ? .max : address + byteCount }
}

extension Transfer {
  /// Rows in DRAM; hardware drops the bits above 32, the verifier refuses them.
  func rows(elementBytes: Int) -> Access.Rows {
    let size = UInt64(elementBytes)
    return Access.Rows(
      first: UInt64(dramBase) * size, byteCount: UInt64(xSize) * size, stride: UInt64(xStride) * size,
      count: ySize)
  }
}
