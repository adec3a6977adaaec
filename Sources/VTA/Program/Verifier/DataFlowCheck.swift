/// Follows what instructions read and write, in a legal order of execution: uninitialised reads, undefined OUT
/// elements, and conflicts that no chain of tokens orders.
struct DataFlowCheck {
  let storedMemory: StoredMemory
  private let instructions: [Instruction]
  private let order: InstructionOrder
  private let hasSeparateOutBuffer: Bool
  private var inp: AccessHistory
  private var wgt: AccessHistory
  private var acc: AccessHistory
  private var out: AccessHistory
  /// OUT elements that a GEMM reset left garbage in.
  private var garbage: Set<Int> = []
  private var stored: AccessHistory

  init(target: Target, instructions: [Instruction], order: InstructionOrder) {
    let c = target.configuration
    let outBytes = c.elementBytes(.out)
    var rows: [Range<UInt64>] = []
    for instruction in instructions {
      // One that reads beyond the scratchpad is refused anyway.
      guard case .store(let t) = instruction.operation, t.xSize * t.ySize <= c.depth(.out), t.xSize > 0 else {
        continue
      }
      let all = t.rows(elementBytes: outBytes)
      for index in 0..<t.ySize { rows.append(all.row(index)) }
    }
    storedMemory = StoredMemory(rows, elementBytes: outBytes)
    stored = AccessHistory(count: storedMemory.elementCount)
    self.instructions = instructions
    self.order = order
    hasSeparateOutBuffer = target.profile.hasSeparateOutBuffer
    inp = AccessHistory(count: c.depth(.inp))
    wgt = AccessHistory(count: c.depth(.wgt))
    acc = AccessHistory(count: c.depth(.acc))
    out = AccessHistory(count: hasSeparateOutBuffer ? c.depth(.out) : 0)
  }

  /// - Parameter accesses: all in bounds.
  mutating func messages(_ accesses: [Access], at index: Int) -> [String] {
    var messages: [String] = []
    for access in accesses {
      switch access {
      case .scratchpad(let memory, let elements, let kind):
        messages += scratchpadMessages(memory, elements, kind, index)
      case .memory(let rows, let isWrite): messages += memoryMessages(rows, isWrite, index)
      }
    }
    return messages
  }

  /// Finds the first offence of each sort; one access has at most one message per sort.
  private mutating func scratchpadMessages(
    _ memory: MemoryType, _ elements: Access.Elements, _ kind: Access.Kind, _ index: Int
  ) -> [String] {
    switch memory {
    case .inp: return Self.note(&inp, memory, elements, kind, index, instructions, order)
    case .wgt: return Self.note(&wgt, memory, elements, kind, index, instructions, order)
    case .out where hasSeparateOutBuffer:
      var messages = Self.note(&out, memory, elements, kind, index, instructions, order)
      switch kind {
      case .garbage: elements.forEach { garbage.insert($0) }
      case .write: if !garbage.isEmpty { elements.forEach { garbage.remove($0) } }
      case .read:
        var found: Int?
        if !garbage.isEmpty {
          elements.forEach { if found == nil && garbage.contains($0) { found = $0 } }
        }
        if let found {
          messages.append(
            "stores OUT element \(found) after a GEMM reset, which leaves old accumulator + dot product there"
          )
        }
      }
      return messages
    case .acc, .out, .acc8bit: return Self.note(&acc, memory, elements, kind, index, instructions, order)
    case .uop: return []
    }
  }

  private static func note(
    _ history: inout AccessHistory, _ memory: MemoryType, _ elements: Access.Elements, _ kind: Access.Kind,
    _ index: Int, _ instructions: [Instruction], _ order: InstructionOrder
  ) -> [String] {
    let module = instructions[index].module
    let (position, clock) = (order.positions[index], order.clocks[index])
    var unwritten: (first: Int, count: Int)?
    var conflict: (element: Int, access: AccessHistory.Access)?
    elements.forEach { element in
      if kind == .read && !history.isWritten(element) {
        unwritten = (unwritten?.first ?? element, (unwritten?.count ?? 0) + 1)
      }
      let found = history.access(
        element, isWrite: kind != .read, module: module, position: position, clock: clock)
      if let found, conflict == nil { conflict = (element, found) }
    }
    var messages: [String] = []
    if let unwritten {
      let more = unwritten.count > 1 ? " (and \(unwritten.count - 1) more)" : ""
      messages.append("reads \(memory) element \(unwritten.first)\(more), which nothing has written")
    }
    if let conflict {
      let what = "\(memory) element \(conflict.element)"
      messages.append(raceMessage(what, isWrite: kind != .read, conflict.access, order))
    }
    return messages
  }

  private mutating func memoryMessages(_ rows: Access.Rows, _ isWrite: Bool, _ index: Int) -> [String] {
    let module = instructions[index].module
    let (position, clock) = (order.positions[index], order.clocks[index])
    var conflict: (address: UInt64, access: AccessHistory.Access)?
    for row in 0..<rows.count {
      storedMemory.forEachElement(rows.row(row)) { element, address in
        let found = stored.access(element, isWrite: isWrite, module: module, position: position, clock: clock)
        if let found, conflict == nil { conflict = (address, found) }
      }
    }
    guard let conflict else { return [] }
    let what = "memory at 0x\(String(conflict.address, radix: 16))"
    return [Self.raceMessage(what, isWrite: isWrite, conflict.access, order)]
  }

  private static func raceMessage(
    _ what: String, isWrite: Bool, _ other: AccessHistory.Access, _ order: InstructionOrder
  ) -> String {
    let instruction = order.dispatch.streams[other.module.rawValue][Int(other.position)]
    return "\(isWrite ? "writes" : "reads") \(what), which instruction \(instruction) "
      + "\(other.wasWrite ? "writes" : "reads"): no chain of tokens orders the two"
  }
}
