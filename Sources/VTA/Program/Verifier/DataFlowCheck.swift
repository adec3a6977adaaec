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
    stored = AccessHistory(count: storedMemory.elementCount, writer: .store)
    self.instructions = instructions
    self.order = order
    hasSeparateOutBuffer = target.profile.hasSeparateOutBuffer
    inp = AccessHistory(count: c.depth(.inp), writer: .load)
    wgt = AccessHistory(count: c.depth(.wgt), writer: .load)
    acc = AccessHistory(count: c.depth(.acc), writer: .compute)
    out = AccessHistory(count: hasSeparateOutBuffer ? c.depth(.out) : 0, writer: .compute)
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

  private mutating func scratchpadMessages(
    _ memory: MemoryType, _ elements: Access.Elements, _ kind: Access.Kind, _ index: Int
  ) -> [String] {
    switch memory {
    case .inp: return messages(Self.note(&inp, elements, kind, accessor(index)), "inp", kind)
    case .wgt: return messages(Self.note(&wgt, elements, kind, accessor(index)), "wgt", kind)
    case .out where hasSeparateOutBuffer:
      return messages(Self.note(&out, elements, kind, accessor(index)), "out", kind)
        + garbageMessages(elements, kind)
    case .acc, .out, .acc8bit:
      return messages(Self.note(&acc, elements, kind, accessor(index)), memory.description, kind)
    case .uop: return []
    }
  }

  private func accessor(_ index: Int) -> AccessHistory.Accessor {
    AccessHistory.Accessor(
      module: instructions[index].module, position: order.positions[index], clock: order.clocks[index])
  }

  private static func note(
    _ history: inout AccessHistory, _ elements: Access.Elements, _ kind: Access.Kind,
    _ accessor: AccessHistory.Accessor
  ) -> AccessHistory.Result {
    kind == .read ? history.read(elements, by: accessor) : history.write(elements, by: accessor)
  }

  private func messages(
    _ result: AccessHistory.Result, _ memory: String, _ kind: Access.Kind
  ) -> [String] {
    var messages: [String] = []
    if let unwritten = result.unwritten {
      let more = unwritten.count > 1 ? " (and \(unwritten.count - 1) more)" : ""
      messages.append("reads \(memory) element \(unwritten.first)\(more), which nothing has written")
    }
    if let conflict = result.conflict {
      messages.append(raceMessage("\(memory) element \(conflict.element)", isWrite: kind != .read, conflict))
    }
    return messages
  }

  private mutating func garbageMessages(_ elements: Access.Elements, _ kind: Access.Kind) -> [String] {
    switch kind {
    case .garbage: elements.forEach { garbage.insert($0) }
    case .write: if !garbage.isEmpty { elements.forEach { garbage.remove($0) } }
    case .read:
      guard !garbage.isEmpty else { return [] }
      var found: Int?
      elements.forEach { if found == nil && garbage.contains($0) { found = $0 } }
      if let found {
        return [
          "stores OUT element \(found) after a GEMM reset, which leaves old accumulator + dot product there"
        ]
      }
    }
    return []
  }

  private mutating func memoryMessages(_ rows: Access.Rows, _ isWrite: Bool, _ index: Int) -> [String] {
    let accessor = accessor(index)
    for row in 0..<rows.count {
      for stretch in storedMemory.elements(rows.row(row)) {
        let elements = Access.Elements.range(stretch.elements)
        let result = isWrite ? stored.write(elements, by: accessor) : stored.read(elements, by: accessor)
        if let conflict = result.conflict {
          let offset = UInt64(conflict.element - stretch.elements.lowerBound) * storedMemory.elementBytes
          let address = String(stretch.address + offset, radix: 16)
          return [raceMessage("memory at 0x\(address)", isWrite: isWrite, conflict)]
        }
      }
    }
    return []
  }

  private func raceMessage(
    _ what: String, isWrite: Bool, _ conflict: AccessHistory.Conflict
  ) -> String {
    let instruction = order.dispatch.streams[conflict.module.rawValue][Int(conflict.position)]
    // Each memory has one writer: a write meets a read, and the other way round.
    return "\(isWrite ? "writes" : "reads") \(what), which instruction \(instruction) "
      + "\(isWrite ? "reads" : "writes"): no chain of tokens orders the two"
  }
}
