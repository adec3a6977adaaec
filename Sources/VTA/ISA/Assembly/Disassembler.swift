/// Instructions and micro-ops as text that ``InstructionAssembler`` takes back to the same bits: a walk over the
/// tables of ``InstructionFormat`` and ``OperandSyntax``. The syntax is described in Documentation/Assembly.md.
package struct Disassembler: Sendable {
  package let instructionSet: InstructionSet
  private let mnemonics: [Mnemonic]

  package init(_ instructionSet: InstructionSet) {
    self.instructionSet = instructionSet
    mnemonics = instructionSet.mnemonics
  }

  /// `[-n|-n] load.inp sram=0x20 dram=0x12345 y=4 x=6 stride=14 pad=1,0,1,2`
  package func text(_ instruction: Instruction) -> String {
    text(instruction.opcode, address: nil, extra: nil, mnemonicWidth: 0) {
      instructionSet.fieldValue($0, of: instruction)
    } ?? "\(instruction.opcode)"
  }

  /// The line for any bits; those that are no instruction become `words`, with the reason as a comment.
  ///
  /// - Parameters:
  ///   - address: what stands for `dram_base`, which is zero, if it is not known yet.
  ///   - mnemonicWidth: columns that the mnemonic takes at least, so that operands of several lines align.
  package func text(_ words: InstructionWords, address: String? = nil, mnemonicWidth: Int = 0) -> String {
    do {
      let opcode = try instructionSet.decode(words).opcode
      let format = instructionSet.format(opcode)
      let extra = format.uncovered(words)
      if let text = text(
        opcode, address: address, extra: extra, mnemonicWidth: mnemonicWidth,
        { name in format.field(name).map { words[$0] } ?? 0 })
      {
        return text
      }
      return raw(words)
    } catch {
      return "\(raw(words)) ; \(error)"
    }
  }

  /// `dst src wgt`, or the bits if a micro-op of this format has fewer than it holds.
  package func text(microOp bits: UInt32) -> String {
    let microOp = instructionSet.decode(microOp: bits)
    guard instructionSet.microOp.uncovered(InstructionWords(UInt64(bits), 0)).word0 == 0 else {
      return "0x" + String(bits, radix: 16)
    }
    return "\(microOp.dst) \(microOp.src) \(microOp.wgt)"
  }

  private func raw(_ words: InstructionWords) -> String {
    "\(InstructionAssembler.rawMnemonic) \(Self.hex(words.word0)) \(Self.hex(words.word1))"
  }

  private func text(
    _ opcode: Opcode, address: String?, extra: InstructionWords?, mnemonicWidth: Int,
    _ value: (FieldName) -> Int64
  ) -> String? {
    let mnemonic = mnemonics.first { candidate in
      candidate.opcode == opcode && !(candidate.isNoOperation && address != nil)
        && candidate.fixed.allSatisfy { value($0.key) == $0.value }
    }
    guard let mnemonic else { return nil }
    var operands: [String] = []
    for row in mnemonic.isNoOperation ? [] : OperandSyntax.rows(opcode) {
      guard row.condition.map({ value($0.field) == $0.value }) ?? true else { continue }
      let values = row.fields.map(value)
      guard row.presence != .nonZero || values.contains(where: { $0 != 0 }) else { continue }
      let texts = values.map { row.isHexadecimal ? Self.hex(UInt64(bitPattern: $0)) : String($0) }
      let isAddress = row.key == OperandSyntax.dram
      operands.append(
        "\(row.key)=\(isAddress ? address ?? texts[0] : texts.joined(separator: row.separator))")
    }
    if let extra, extra.word0 != 0 || extra.word1 != 0 {
      operands.append("\(OperandSyntax.extra)=\(Self.hex(extra.word0)),\(Self.hex(extra.word1))")
    }
    let padding = String(
      repeating: " ", count: operands.isEmpty ? 0 : max(0, mnemonicWidth - mnemonic.text.count))
    return ([FlagColumn.text(value), mnemonic.text + padding] + operands).joined(separator: " ")
  }

  private static func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }
}

extension InstructionFormat {
  /// The bits that no field of the format holds.
  func uncovered(_ words: InstructionWords) -> InstructionWords {
    fields.reduce(words) { rest, field in
      let mask = ~(field.mask << UInt64(field.bit))
      return field.word == 0
        ? InstructionWords(rest.word0 & mask, rest.word1) : InstructionWords(rest.word0, rest.word1 & mask)
    }
  }
}
