/// The operands of one instruction, in any order.
struct OperandParser {
  private let line: AssemblyLine
  private let mnemonic: Mnemonic
  private let format: InstructionFormat
  private let rows: [OperandSyntax]
  private var values: [FieldName: Int64]
  private var given: Set<String> = []
  private var address: InstructionAssembler.Address?
  private var extra = InstructionWords(0, 0)

  /// - Parameter values: fields that are known already.
  init(
    line: AssemblyLine, mnemonic: Mnemonic, format: InstructionFormat, values: [FieldName: Int64]
  ) {
    self.line = line
    self.mnemonic = mnemonic
    self.format = format
    self.values = values
    rows = mnemonic.isNoOperation ? [] : OperandSyntax.rows(mnemonic.opcode)
  }

  mutating func take(_ token: AssemblyToken) throws(AssemblyError) {
    guard let (key, value) = token.keyAndValue else {
      throw line.error(token, "\(token.text) is no operand; write KEY=VALUE: \(usage)")
    }
    guard given.insert(key).inserted else {
      throw line.error(token, "\(key) is given twice; remove one")
    }
    if key == OperandSyntax.extra { return try takeExtra(value) }
    guard let row = rows.first(where: { $0.key == key }) else {
      throw line.error(token, "\(mnemonic.text) has no operand \(key); known: \(usage)")
    }
    if key == OperandSyntax.dram, value.leadingName != nil { return try takeAddress(value) }
    let parts = row.fields.count == 1 ? [value] : value.split(row.separator)
    guard parts.count == row.fields.count else {
      throw line.error(value, "\(key) takes \(row.fields.count) numbers; write \(row.usage)")
    }
    for (name, part) in zip(row.fields, parts) {
      guard let field = format.field(name) else { continue }
      values[name] = try line.value(part, field, format)
    }
    if let (field, value) = row.condition {
      if let other = rows.first(where: { $0.condition?.field == field && $0.key != key }),
        given.contains(other.key)
      {
        throw line.error(token, "\(key) and \(other.key) exclude each other; remove one")
      }
      values[field] = value
    }
  }

  func checkRequired(_ name: AssemblyToken) throws(AssemblyError) {
    if let row = rows.first(where: { $0.presence == .required && !given.contains($0.key) }) {
      throw line.error(name, "\(mnemonic.text) lacks \(row.key); add \(row.usage)")
    }
  }

  var result: InstructionAssembler.Result {
    var words = extra
    for field in format.fields { words[field] = values[field.name, default: 0] }
    return InstructionAssembler.Result(words: words, address: address)
  }

  private var usage: String {
    let operands = rows.map(\.usage) + ["\(OperandSyntax.extra)=WORD0,WORD1"]
    return operands.joined(separator: " ")
  }

  private mutating func takeExtra(_ value: AssemblyToken) throws(AssemblyError) {
    let words = value.split(",").map(\.word)
    guard words.count == 2, let word0 = words[0], let word1 = words[1] else {
      throw line.error(value, "extra takes both words of the instruction; write extra=0x0,0x0")
    }
    extra = InstructionWords(word0, word1)
    guard format.uncovered(extra) == extra else {
      throw line.error(value, "extra sets bits that fields of \(format.name) hold; leave them to the fields")
    }
  }

  private mutating func takeAddress(_ token: AssemblyToken) throws(AssemblyError) {
    guard let (name, behindName) = token.leadingName, let memory = memory else { return }
    var rest = behindName
    var label: String?
    if rest.bytes.first == UInt8(ascii: ":") {
      guard let (name, behindLabel) = AssemblyToken(rest.bytes.dropFirst()).leadingName else {
        throw line.error(rest, "the name of a micro-kernel is missing; write REGION:KERNEL")
      }
      label = name
      rest = behindLabel
    }
    var offset: UInt64 = 0
    if !rest.bytes.isEmpty {
      let digits = AssemblyToken(rest.bytes.dropFirst())
      guard rest.bytes.first == UInt8(ascii: "+"), let value = digits.integer,
        (0...Int64(UInt32.max)).contains(value)
      else {
        throw line.error(
          rest, "\(rest.text) is no offset; write REGION+ELEMENTS with a number in 0…\(UInt32.max)")
      }
      offset = UInt64(value)
    }
    address = InstructionAssembler.Address(
      name: name, label: label, offset: offset, memory: memory, token: token)
  }

  /// What a LOAD or STORE moves. Of a STORE in revision A it is OUT whatever the field says.
  private var memory: MemoryType? {
    guard let code = values[.memoryType], let memory = MemoryType(rawValue: Int(code)) else { return nil }
    let isRevisionA = format.field(.memoryType)?.width == 2
    return isRevisionA && mnemonic.opcode == .store ? .out : memory
  }
}
