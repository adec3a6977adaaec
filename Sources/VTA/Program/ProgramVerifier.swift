/// Checks a patched program before a device may fetch it: VTA has no MMU and reports no faults.
///
/// Checked here: every instruction decodes, scratchpad and micro-op indices stay in bounds over the whole affine
/// range, every DRAM row lies in one region with the right access, tokens balance without deadlock, FINISH comes
/// once and last. Linear in instructions and micro-ops.
package struct ProgramVerifier {
  /// Memory that the program may touch, by physical address.
  package struct Extent: Sendable {
    package let address: UInt64
    package let byteCount: UInt64
    package let isWritable: Bool

    package init(address: UInt64, byteCount: UInt64, isWritable: Bool) {
      self.address = address
      self.byteCount = byteCount
      self.isWritable = isWritable
    }
  }

  package struct Finding: Hashable, Sendable, CustomStringConvertible {
    /// `nil`: about the program as a whole.
    package let instruction: Int?
    package let disassembly: String
    package let message: String

    package var description: String {
      guard let instruction else { return message }
      return "instruction \(instruction) (\(disassembly)): \(message)"
    }
  }

  private let target: Target
  private let instructionSet: InstructionSet
  private let extents: [Extent]
  /// Reads micro-ops from device memory as the program will find them; `nil` outside of it.
  private let readMicroOps: (_ address: UInt64, _ count: Int) -> [UInt32]?
  private var microOps: [MicroOp?]
  private var findings: [Finding] = []

  /// All findings; an empty array means that the program may run.
  ///
  /// - Parameters:
  ///   - extents: the program's regions; they do not overlap.
  ///   - readMicroOps: `count` micro-ops at a byte address inside one of the extents.
  package static func findings(
    _ words: [InstructionWords], target: Target, extents: [Extent],
    readMicroOps: @escaping (_ address: UInt64, _ count: Int) -> [UInt32]?
  ) throws(ConfigurationError) -> [Finding] {
    var verifier = try ProgramVerifier(target, extents, readMicroOps)
    verifier.check(words)
    return verifier.findings
  }

  private init(
    _ target: Target, _ extents: [Extent],
    _ readMicroOps: @escaping (UInt64, Int) -> [UInt32]?
  ) throws(ConfigurationError) {
    self.target = target
    instructionSet = try InstructionSet(
      configuration: target.configuration, revision: target.profile.revision)
    self.extents = extents.sorted { $0.address < $1.address }
    self.readMicroOps = readMicroOps
    microOps = Array(repeating: nil, count: target.profile.microOpDepth(target.configuration))
  }

  private mutating func check(_ words: [InstructionWords]) {
    var instructions: [Instruction] = []
    for (index, word) in words.enumerated() {
      do throws(CodingError) {
        instructions.append(try instructionSet.decode(word))
      } catch {
        add(index, Disassembler(instructionSet).text(word), error.description)
        return
      }
    }
    let finishes = instructions.indices.filter { instructions[$0].opcode == .finish }
    if finishes != [instructions.count - 1] || instructions.isEmpty {
      add(nil, "", "FINISH must come once, as the last instruction; found at \(finishes)")
    }
    for (index, instruction) in instructions.enumerated() {
      for message in messages(instruction) {
        add(index, Disassembler(instructionSet).text(instruction), message)
      }
    }
    checkTokens(instructions)
  }

  private mutating func add(_ index: Int?, _ text: String, _ message: String) {
    findings.append(Finding(instruction: index, disassembly: text, message: message))
  }

  private mutating func messages(_ instruction: Instruction) -> [String] {
    var messages: [String] = []
    let module = instruction.module
    if module == .load, !instruction.flags.isDisjoint(with: [.popPrev, .pushPrev]) {
      messages.append("the load module has no module before it to exchange tokens with")
    }
    if module == .store, !instruction.flags.isDisjoint(with: [.popNext, .pushNext]) {
      messages.append("the store module has no module behind it to exchange tokens with")
    }
    switch instruction.operation {
    case .load(let transfer): messages += loadMessages(transfer)
    case .store(let transfer): messages += storeMessages(transfer)
    case .gemm(let gemm):
      messages += loopMessages(
        gemm.loops, wgt: (gemm.wgtFactorOut, gemm.wgtFactorIn), sources: gemm.reset ? [] : [.inp, .wgt])
    case .alu(let alu):
      if alu.opcode == .mul && !target.profile.hasMultiply {
        messages.append("the profile \(target.profile.name) has no MUL")
      }
      messages += loopMessages(
        alu.loops, wgt: (0, 0), sources: alu.operand == .accumulator ? [.acc] : [])
    case .finish: break
    }
    return messages
  }

  // MARK: Transfers

  private mutating func loadMessages(_ t: Transfer) -> [String] {
    if t.memory == .out { return ["LOAD of OUT does not exist"] }
    if t.memory == .acc8bit && !target.profile.hasAcc8BitLoad {
      return ["the profile \(target.profile.name) has no LOAD of ACC_8BIT"]
    }
    if t.xSize == 0 && t.ySize == 0 && !t.hasPadding { return [] }
    if t.xSize == 0 || t.ySize == 0 { return ["an extent is 0: implementations differ in what that does"] }
    if t.hasPadding && !target.profile.paddedLoads.contains(t.memory) {
      return ["the profile \(target.profile.name) ignores the padding of \(t.memory) loads"]
    }
    if t.memory == .uop && target.profile.loadsMicroOpsInOneRow && (t.ySize != 1 || t.hasPadding) {
      return ["the profile \(target.profile.name) loads micro-ops in one row only"]
    }
    var messages: [String] = []
    let depth =
      t.memory == .uop ? microOps.count : target.configuration.depth(t.memory)
    if t.sramBase + t.loadedCount > depth {
      messages.append(
        "writes \(t.memory) elements up to \(t.sramBase + t.loadedCount - 1), but the scratchpad has \(depth)"
      )
    }
    messages += dramMessages(t, t.memory, writes: false)
    if messages.isEmpty && t.memory == .uop { messages += noteMicroOps(t) }
    return messages
  }

  private func storeMessages(_ t: Transfer) -> [String] {
    if t.xSize == 0 && t.ySize == 0 && !t.hasPadding { return [] }
    if t.xSize == 0 || t.ySize == 0 { return ["an extent is 0: implementations differ in what that does"] }
    if t.hasPadding { return ["STORE has no padding"] }
    if t.memory != .out { return ["only OUT can be stored"] }
    var messages: [String] = []
    let depth = target.configuration.depth(.out)
    if t.sramBase + t.ySize * t.xSize > depth {
      messages.append(
        "reads out elements up to \(t.sramBase + t.ySize * t.xSize - 1), but the scratchpad has \(depth)")
    }
    return messages + dramMessages(t, .out, writes: true)
  }

  private func dramMessages(_ t: Transfer, _ memory: MemoryType, writes: Bool) -> [String] {
    let size = UInt64(target.configuration.elementBytes(memory))
    let first = UInt64(t.dramBase) * size
    // Rows ascend, so the first and the last byte decide whether all rows lie inside.
    let end = first + (UInt64(t.ySize - 1) * UInt64(t.xStride) + UInt64(t.xSize)) * size
    guard end <= MemoryFault.addressSpaceEnd else {
      return ["reaches beyond the accelerator's 4 GiB address space"]
    }
    guard let extent = extent(containing: first), end <= extent.address + extent.byteCount else {
      let range = "0x\(String(first, radix: 16))..<0x\(String(end, radix: 16))"
      return ["touches memory at \(range), which is not inside one of the program's regions"]
    }
    return writes && !extent.isWritable ? ["writes to a region that is read-only"] : []
  }

  private func extent(containing address: UInt64) -> Extent? {
    var low = 0
    var high = extents.count
    while low < high {
      let middle = (low + high) / 2
      if extents[middle].address <= address { low = middle + 1 } else { high = middle }
    }
    guard low > 0, address - extents[low - 1].address < extents[low - 1].byteCount else { return nil }
    return extents[low - 1]
  }

  // MARK: Loops

  private mutating func noteMicroOps(_ t: Transfer) -> [String] {
    for row in 0..<t.ySize {
      let address =
        (UInt64(t.dramBase) + UInt64(row) * UInt64(t.xStride)) * UInt64(Limits.microOpBytes)
      guard let bits = readMicroOps(address, t.xSize) else {
        return ["loads micro-ops from memory that programs can write to"]
      }
      let start = t.sramBase + row * t.xSize
      for (index, value) in bits.enumerated() {
        microOps[start + index] = instructionSet.decode(microOp: value)
      }
    }
    return []
  }

  private func loopMessages(
    _ l: LoopNest, wgt: (out: Int, in: Int), sources: [MemoryType]
  ) -> [String] {
    guard l.uopBegin < l.uopEnd, l.iterOut > 0, l.iterIn > 0 else {
      return ["an extent of the loop is 0: implementations differ in what that does"]
    }
    guard l.uopEnd <= microOps.count else {
      return ["uses micro-ops up to \(l.uopEnd - 1), but the buffer has \(microOps.count)"]
    }
    var top = MicroOp(dst: 0, src: 0)
    for index in l.uopBegin..<l.uopEnd {
      guard let microOp = microOps[index] else { return ["micro-op \(index) was never loaded"] }
      top.dst = max(top.dst, microOp.dst)
      top.src = max(top.src, microOp.src)
      top.wgt = max(top.wgt, microOp.wgt)
    }
    func last(_ base: Int, _ out: Int, _ in: Int) -> Int {
      base + (l.iterOut - 1) * out + (l.iterIn - 1) * `in`
    }
    var messages: [String] = []
    func bound(_ memory: MemoryType, _ index: Int) {
      let depth = target.configuration.depth(memory)
      if index >= depth {
        messages.append("reaches \(memory) element \(index), but the scratchpad has \(depth)")
      }
    }
    bound(.acc, last(top.dst, l.dstFactorOut, l.dstFactorIn))
    for source in sources {
      if source == .wgt {
        bound(.wgt, last(top.wgt, wgt.out, wgt.in))
      } else {
        bound(source, last(top.src, l.srcFactorOut, l.srcFactorIn))
      }
    }
    return messages
  }

  // MARK: Tokens

  private mutating func checkTokens(_ instructions: [Instruction]) {
    var dispatch = TokenDispatch(instructions)
    var moved = true
    while moved {
      moved = false
      for module in ExecutionModule.allCases {
        while let index = dispatch.takeReady(module) {
          dispatch.complete(index)
          moved = true
        }
      }
    }
    for index in dispatch.waiting {
      add(
        index, Disassembler(instructionSet).text(instructions[index]),
        "waits for a token that never comes")
    }
    if dispatch.waiting.isEmpty {
      for queue in dispatch.leftover {
        add(nil, "", "\(queue.count) tokens from \(queue.from) to \(queue.to) are left over")
      }
    }
    if let capacity = target.profile.tokenCapacity, dispatch.tokensMax > capacity {
      add(nil, "", "up to \(dispatch.tokensMax) tokens wait in a queue that holds \(capacity)")
    }
  }
}
