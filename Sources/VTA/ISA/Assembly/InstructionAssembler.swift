/// The inverse of ``Disassembler``: lines of text as instructions, checked against the field tables.
package struct InstructionAssembler: Sendable {
  /// `NAME`, `NAME+OFFSET` or `NAME:LABEL`, instead of a number for `dram_base`.
  package struct Address: Sendable {
    package let name: String
    /// A micro-kernel in the region.
    package let label: String?
    /// Elements of the instruction's memory type.
    package let offset: UInt64
    package let memory: MemoryType
    package let token: AssemblyToken
  }

  package struct Result: Sendable {
    /// With `dram_base` zero where there is an address.
    package let words: InstructionWords
    package let address: Address?
  }

  /// Takes two 64-bit numbers: bits that are no instruction.
  static let rawMnemonic = "words"

  private let instructionSet: InstructionSet
  private let mnemonics: [String: Mnemonic]

  package init(_ instructionSet: InstructionSet) {
    self.instructionSet = instructionSet
    mnemonics = Dictionary(uniqueKeysWithValues: instructionSet.mnemonics.map { ($0.text, $0) })
  }

  /// A single line without symbolic addresses, for tests and tools.
  /// - Throws: ``AssemblyError``.
  package func words(_ text: String) throws(AssemblyError) -> InstructionWords {
    let line = try AssemblyLine(number: 1, ArraySlice(text.utf8))
    let result = try assemble(line)
    if let address = result.address {
      throw line.error(address.token, "there are no regions here; write a number")
    }
    return result.words
  }

  /// - Parameter line: has at least one token.
  package func assemble(_ line: AssemblyLine) throws(AssemblyError) -> Result {
    var tokens = line.tokens[...]
    var values: [FieldName: Int64] = [:]
    if tokens.first?.bytes.first == UInt8(ascii: "["), let column = tokens.popFirst() {
      guard let flags = FlagColumn.values(column.text) else {
        throw line.error(
          column,
          "\(column.text) is no column of dependence flags; write [pn|pn] with - for each flag not set")
      }
      values = flags
    }
    guard let name = tokens.popFirst() else {
      throw line.error(nil, "an instruction is missing behind the flags; add one")
    }
    if name.text == Self.rawMnemonic { return try raw(line, tokens, hasFlags: !values.isEmpty) }
    guard let mnemonic = mnemonics[name.text] else {
      throw line.error(
        name,
        "\(name.text) is no instruction of revision \(instructionSet.revision.rawValue); known: \(known)")
    }
    values.merge(mnemonic.fixed) { $1 }
    values[.opcode] = Int64(mnemonic.opcode.rawValue)
    var operands = OperandParser(
      line: line, mnemonic: mnemonic, format: instructionSet.format(mnemonic.opcode), values: values)
    for token in tokens { try operands.take(token) }
    try operands.checkRequired(name)
    return operands.result
  }

  /// The bits of a micro-op: `dst src wgt`, or one hexadecimal number.
  package func microOp(_ line: AssemblyLine) throws(AssemblyError) -> UInt32 {
    let format = instructionSet.microOp
    if line.tokens.count == 1, let bits = line.tokens[0].word {
      guard let bits = UInt32(exactly: bits) else {
        throw line.error(line.tokens[0], "a micro-op has 32 bits; write a smaller number")
      }
      return bits
    }
    guard line.tokens.count == format.fields.count else {
      throw line.error(line.tokens.first, "a micro-op is three numbers; write DST SRC WGT")
    }
    var words = InstructionWords(0, 0)
    for (token, field) in zip(line.tokens, format.fields) {
      words[field] = try line.value(token, field, format)
    }
    return UInt32(truncatingIfNeeded: words.word0)
  }

  private var known: String { (mnemonics.keys.sorted() + [Self.rawMnemonic]).joined(separator: ", ") }

  private func raw(
    _ line: AssemblyLine, _ tokens: ArraySlice<AssemblyToken>, hasFlags: Bool
  ) throws(AssemblyError) -> Result {
    let words = tokens.compactMap(\.word)
    guard words.count == 2, tokens.count == 2, !hasFlags else {
      throw line.error(tokens.first, "words takes two numbers of 64 bits and no flags; write words 0x0 0x0")
    }
    return Result(words: InstructionWords(words[0], words[1]), address: nil)
  }
}

extension AssemblyLine {
  /// A number that the field can hold.
  func value(
    _ token: AssemblyToken, _ field: Field, _ format: InstructionFormat
  ) throws(AssemblyError) -> Int64 {
    guard let value = token.integer else {
      throw error(
        token, "\(field.name.rawValue) of \(format.name) is no 64-bit number; write it in decimal or after 0x"
      )
    }
    guard field.range.contains(value) else {
      let problem = CodingError.outOfRange(
        format: format.name, field: field.name, value: value, range: field.range)
      throw error(token, "\(problem); correct the number")
    }
    return value
  }
}
