private import VTA

/// A program with one thing broken.
package struct Mutant: Sendable {
  /// What kind of thing: a field's name, or one of the other classes of ``Mutations``.
  package let kind: String
  package let what: String
  package let program: MachineProgram
}

/// All ways to break one thing of a program, by kind.
package struct Mutations {
  private let program: MachineProgram
  private let set: InstructionSet
  private var random: SeededGenerator

  package init(_ program: MachineProgram, seed: UInt64) throws {
    self.program = program
    set = try InstructionSet(
      configuration: program.target.configuration, revision: program.target.profile.revision)
    random = SeededGenerator(seed: seed)
  }

  /// - Parameter limit: mutants of one kind; a random choice where there are more.
  package mutating func mutants(limit: Int) -> [Mutant] {
    var byKind: [String: [Mutant]] = [:]
    for mutant in fields() + flags() + order() + regions() + microOps() {
      byKind[mutant.kind, default: []].append(mutant)
    }
    return byKind.keys.sorted().flatMap { kind in
      Array((byKind[kind] ?? []).shuffled(using: &random).prefix(limit))
    }
  }

  // MARK: Instructions

  /// Every field of every instruction: its extremes, its neighbours, its double and something else.
  private mutating func fields() -> [Mutant] {
    var mutants: [Mutant] = []
    for (index, word) in program.words.enumerated() {
      guard let opcode = Opcode(rawValue: Int(word.word0 & 7)) else { continue }
      for field in set.format(opcode).fields where field.name.dependence == nil {
        let mask: UInt64 = (1 << UInt64(field.width)) - 1
        let old = word.bits(of: field)
        let values: Set<UInt64> = [
          0, mask, (old &+ 1) & mask, (old &- 1) & mask, (old &* 2) & mask, random.next() & mask,
        ]
        for value in values.subtracting([old]).sorted() {
          var words = program.words
          words[index].setBits(of: field, to: value)
          let name = field.name.rawValue
          mutants.append(mutant(name, "\(name) \(old) -> \(value)", index, words))
        }
      }
    }
    return mutants
  }

  private func flags() -> [Mutant] {
    var mutants: [Mutant] = []
    for (index, word) in program.words.enumerated() {
      guard let opcode = Opcode(rawValue: Int(word.word0 & 7)) else { continue }
      for field in set.format(opcode).fields where field.name.dependence != nil {
        var words = program.words
        words[index].setBits(of: field, to: 1 - word.bits(of: field))
        mutants.append(mutant("token flag", "\(field.name.rawValue) flipped", index, words))
      }
    }
    return mutants
  }

  private func order() -> [Mutant] {
    var mutants: [Mutant] = []
    for index in program.words.indices {
      var words = program.words
      words.remove(at: index)
      mutants.append(mutant("dropped", "dropped", index, words))
      words = program.words
      words.insert(words[index], at: index)
      mutants.append(mutant("duplicated", "duplicated", index, words))
      if index > 0, program.words[index] != program.words[index - 1] {
        words = program.words
        words.swapAt(index, index - 1)
        mutants.append(mutant("swapped", "swapped with the one before", index, words))
      }
    }
    return mutants
  }

  private func mutant(_ kind: String, _ what: String, _ index: Int, _ words: [InstructionWords]) -> Mutant {
    var changed = program
    changed.words = words
    let text = Disassembler(set).text(program.words[index])
    return Mutant(
      kind: kind, what: "\(program.name): instruction \(index) (\(text)): \(what)", program: changed)
  }

  // MARK: Memory

  /// Regions that end earlier, begin later, or lose the right to be written.
  private func regions() -> [Mutant] {
    var mutants: [Mutant] = []
    for (index, segment) in program.segments.enumerated() where !segment.bytes.isEmpty {
      func add(_ kind: String, _ what: String, _ change: (inout MachineProgram.Segment) -> Void) {
        var changed = program
        change(&changed.segments[index])
        let place = "the region at 0x\(String(segment.address, radix: 16))"
        mutants.append(Mutant(kind: kind, what: "\(program.name): \(place) \(what)", program: changed))
      }
      for count in Set([1, 64, segment.bytes.count / 2]) where count > 0 && count <= segment.bytes.count {
        add("region shrunk", "ends \(count) bytes earlier") { $0.bytes.removeLast(count) }
        add("region shrunk", "begins \(count) bytes later") {
          $0.bytes.removeFirst(count)
          $0.address += UInt64(count)
        }
      }
      if segment.isWritable { add("region read-only", "is read-only") { $0.isWritable = false } }
    }
    return mutants
  }

  /// Every micro-op that the program loads: each field's extremes and neighbours.
  private mutating func microOps() -> [Mutant] {
    var mutants: [Mutant] = []
    for place in microOpPlaces() {
      let segment = program.segments[place.segment]
      let old = segment.bytes[place.offset..<place.offset + Limits.microOpBytes].reversed()
        .reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      for field in set.microOp.fields {
        let mask: UInt64 = (1 << UInt64(field.width)) - 1
        let value = InstructionWords(old, 0).bits(of: field)
        for new in Set([0, mask, (value &+ 1) & mask, random.next() & mask]).subtracting([value]).sorted() {
          var word = InstructionWords(old, 0)
          word.setBits(of: field, to: new)
          var changed = program
          for byte in 0..<Limits.microOpBytes {
            changed.segments[place.segment].bytes[place.offset + byte] = UInt8(
              truncatingIfNeeded: word.word0 >> UInt64(8 * byte))
          }
          let address = String(segment.address + UInt64(place.offset), radix: 16)
          mutants.append(
            Mutant(
              kind: "micro-op",
              what: "\(program.name): micro-op at 0x\(address): \(field.name.rawValue) \(value) -> \(new)",
              program: changed))
        }
      }
    }
    return mutants
  }

  /// Micro-ops that LOADs read, a few hundred at most.
  private mutating func microOpPlaces() -> [(segment: Int, offset: Int)] {
    var places: [(segment: Int, offset: Int)] = []
    for word in program.words {
      guard case .load(let transfer)? = try? set.decode(word).operation, transfer.memory == .uop,
        let range = MachineProgram.dramRange(try? set.decode(word), program.target.configuration)
      else { continue }
      for (index, segment) in program.segments.enumerated()
      where segment.address <= range.lowerBound && range.upperBound <= segment.end {
        let first = Int(range.lowerBound - segment.address)
        for offset in stride(from: first, to: first + range.count, by: Limits.microOpBytes) {
          places.append((index, offset))
        }
      }
    }
    return Array(places.shuffled(using: &random).prefix(256))
  }
}

extension FieldName {
  /// The token flag that the field is.
  fileprivate var dependence: DependenceFlags? {
    switch self {
    case .popPrevDep: .popPrev
    case .popNextDep: .popNext
    case .pushPrevDep: .pushPrev
    case .pushNextDep: .pushNext
    default: nil
    }
  }
}

extension InstructionWords {
  fileprivate func bits(of field: Field) -> UInt64 {
    ((field.word == 0 ? word0 : word1) >> UInt64(field.bit)) & ((1 << UInt64(field.width)) - 1)
  }

  fileprivate mutating func setBits(of field: Field, to value: UInt64) {
    let mask: UInt64 = ((1 << UInt64(field.width)) - 1) << UInt64(field.bit)
    let bits = value << UInt64(field.bit)
    if field.word == 0 { word0 = word0 & ~mask | bits } else { word1 = word1 & ~mask | bits }
  }
}
