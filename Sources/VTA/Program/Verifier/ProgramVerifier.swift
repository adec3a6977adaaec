/// Checks a patched program before a device may fetch it: VTA has no MMU and reports no faults.
///
/// Every instruction decodes and exists under the profile; scratchpad and micro-op indices stay in bounds over the whole
/// affine range; every DRAM row lies in one region, inside the address window, with the right access; tokens balance
/// under the profile's capacities, without deadlock; FINISH comes once, last, and waits for all modules; nothing
/// reads a scratchpad element that was not written, or stores an OUT element whose content the profile leaves
/// undefined; two instructions of different modules that touch the same element or the same memory, at least one
/// writing, are ordered by tokens under every schedule.
///
/// Cost: O(n log n) in instructions and transferred rows, plus, per instruction, the elements and micro-ops that it
/// names, at most the depth of the scratchpads: never the trip count of its loops.
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

    init(instruction: Int, disassembly: String, message: String) {
      self.instruction = instruction
      self.disassembly = disassembly
      self.message = message
    }

    package init(ofProgram message: String) {
      instruction = nil
      disassembly = ""
      self.message = message
    }

    package var description: String {
      guard let instruction else { return message }
      return "instruction \(instruction) (\(disassembly)): \(message)"
    }
  }

  /// A program with more is hopeless; the last finding says that there are more.
  package static let findingsMax = 1000

  /// Bytes that the accelerator's 32 address bits reach (reference/vta-hardware.md, section 3.1).
  package static let wholeWindow: Range<UInt64> = 0..<MemoryFault.addressSpaceEnd

  private let target: Target
  private let disassembler: Disassembler
  private var findings: [Finding] = []

  /// All findings, by instruction; an empty array means that the program may run.
  ///
  /// - Parameters:
  ///   - extents: the program's regions; they do not overlap.
  ///   - window: addresses that the board's memory port reaches.
  ///   - readMicroOps: `count` micro-ops at a byte address inside one of the extents, as the program will find them;
  ///     `nil` where another program may write.
  package static func findings(
    _ words: [InstructionWords], target: Target, extents: [Extent],
    window: Range<UInt64> = wholeWindow,
    readMicroOps: (_ address: UInt64, _ count: Int) -> [UInt32]?
  ) throws(ConfigurationError) -> [Finding] {
    let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    var verifier = ProgramVerifier(target: target, disassembler: Disassembler(set))
    if let instructions = verifier.decoded(words, set) {
      let order = InstructionOrder(instructions, profile: target.profile)
      verifier.checkEnd(instructions, order)
      verifier.checkTokens(instructions, order)
      verifier.checkEach(
        instructions, order, InstructionCheck(target: target, extents: extents, window: window), readMicroOps)
    }
    return verifier.sorted()
  }

  private init(target: Target, disassembler: Disassembler) {
    self.target = target
    self.disassembler = disassembler
  }

  private func sorted() -> [Finding] {
    var sorted = findings.enumerated().sorted {
      ($0.element.instruction ?? -1, $0.offset) < ($1.element.instruction ?? -1, $1.offset)
    }.map(\.element)
    if findings.count >= Self.findingsMax {
      sorted.append(Finding(ofProgram: "there are more findings"))
    }
    return sorted
  }

  private mutating func add(_ message: String) {
    guard findings.count < Self.findingsMax else { return }
    findings.append(Finding(ofProgram: message))
  }

  private mutating func add(_ index: Int, _ instruction: Instruction, _ message: String) {
    guard findings.count < Self.findingsMax else { return }
    findings.append(
      Finding(instruction: index, disassembly: disassembler.text(instruction), message: message))
  }

  private mutating func decoded(_ words: [InstructionWords], _ set: InstructionSet) -> [Instruction]? {
    var instructions: [Instruction] = []
    instructions.reserveCapacity(words.count)
    for (index, word) in words.enumerated() {
      do throws(CodingError) {
        instructions.append(try set.decode(word))
      } catch {
        guard findings.count < Self.findingsMax else { return nil }
        findings.append(
          Finding(instruction: index, disassembly: disassembler.text(word), message: error.description))
      }
    }
    return instructions.count == words.count ? instructions : nil
  }

  // MARK: The program as a whole

  private mutating func checkEnd(_ instructions: [Instruction], _ order: InstructionOrder) {
    let finishes = instructions.indices.filter { instructions[$0].opcode == .finish }
    guard let finish = finishes.first, finishes == [instructions.count - 1] else {
      add("FINISH must come once, as the last instruction; found at \(finishes.prefix(5))")
      return
    }
    guard order.execution.count == instructions.count, target.profile.dispatch != .sequential else { return }
    for module in [ExecutionModule.load, .store] {
      if let last = order.dispatch.streams[module.rawValue].last,
        !order.isOrdered(module: module, position: order.positions[last], before: finish)
      {
        add(
          finish, instructions[finish],
          "does not wait for instruction \(last), the last of the \(module) module")
      }
    }
  }

  private mutating func checkTokens(_ instructions: [Instruction], _ order: InstructionOrder) {
    for waiting in order.dispatch.waiting {
      add(waiting.index, instructions[waiting.index], waiting.reason.description)
    }
    guard order.dispatch.waiting.isEmpty else { return }
    for queue in order.dispatch.leftover {
      add(
        "\(queue.count) tokens from \(queue.from) to \(queue.to) are left over for the next program to take")
    }
    if case .modules(.saturating(let capacity), _) = target.profile.dispatch {
      let most = order.tokensMax(instructions)
      if most > capacity {
        add("up to \(most) tokens may wait in a queue that counts to \(capacity) and loses the rest")
      }
    }
  }

  // MARK: Each instruction

  private mutating func checkEach(
    _ instructions: [Instruction], _ order: InstructionOrder, _ check: InstructionCheck,
    _ readMicroOps: (UInt64, Int) -> [UInt32]?
  ) {
    var check = check
    for message in check.extentMessages { add(message) }
    var flow = DataFlowCheck(target: target, instructions: instructions, order: order)
    // Micro-ops are loaded and used by one module, so any legal order finds the same ones.
    var executes = Array(repeating: false, count: instructions.count)
    for index in order.execution { executes[index] = true }
    let stuck = instructions.indices.filter { !executes[$0] }
    for index in order.execution + stuck {
      let instruction = instructions[index]
      var accesses: [Access] = []
      let messages = check.messages(instruction, flow.storedMemory, readMicroOps, &accesses)
      for message in messages { add(index, instruction, message) }
      guard executes[index] else { continue }
      for message in flow.messages(accesses, at: index) {
        add(index, instruction, message)
      }
    }
  }
}
