/// Bit positions of all instructions and micro-ops, of both revisions, in the default configuration.
struct InstructionReference {
  private let sets: [InstructionSet]
  private let configuration = HardwareConfiguration.default

  init() throws(ConfigurationError) {
    sets = [
      try InstructionSet(configuration: configuration, revision: .b),
      try InstructionSet(configuration: configuration, revision: .a),
    ]
  }

  var text: String {
    """
    # Instructions

    \(ReferencePage.notice)

    Positions are those of the configuration \(configuration.name). Fields whose width is a depth move with the
    configuration: they are placed from bit 0 up, and one that does not fit into the rest of a word begins the next. The text
    form is described in [Assembly](../Assembly.md).

    ## Codes

    \(codes)
    ## Revision \(sets[0].revision.rawValue), HW_VER 0.0.2

    \(formats(sets[0]))
    ## Revision \(sets[1].revision.rawValue), HW_VER 0.0.0 and 0.0.1

    \(formats(sets[1]))
    """
  }

  // MARK: Codes

  private var codes: String {
    let opcodes = Opcode.allCases.map { opcode in
      [
        "\(opcode.rawValue)", "\(opcode)".uppercased(),
        names(opcode).map { "`\($0)`" }.joined(separator: ", "),
      ]
    }
    let memories = MemoryType.allCases.map { memory in
      [
        "\(memory.rawValue)", "`\(memory)`", Self.contents(memory), "\(configuration.elementBytes(memory))",
        "\(configuration.depth(memory))", revisions { $0.transfer.field(.memoryType) }(memory.rawValue),
      ]
    }
    let operations = ALUOpcode.allCases.map { operation in
      [
        "\(operation.rawValue)", "`alu.\(operation)`", Self.meaning(operation),
        revisions { $0.alu.field(.aluOpcode) }(operation.rawValue),
      ]
    }
    return ReferencePage.table(["opcode", "Instruction", "In text"], opcodes) + "\n"
      + ReferencePage.table(
        ["memory_type", "In text", "One element", "Bytes", "Elements held", "Revisions"], memories) + "\n"
      + "Revision A has no code for `out`; a STORE writes 0 there.\n\n"
      + ReferencePage.table(["alu_opcode", "In text", "Result", "Revisions"], operations)
  }

  private func names(_ opcode: Opcode) -> [String] {
    sets[0].mnemonics.filter { $0.opcode == opcode }.map(\.text)
  }

  /// The revisions whose field can hold a code.
  private func revisions(_ field: @escaping (InstructionSet) -> Field?) -> (Int) -> String {
    { code in
      sets.filter { field($0)?.range.contains(Int64(code)) ?? false }.map(\.revision.rawValue).sorted()
        .joined(separator: ", ")
    }
  }

  private static func contents(_ memory: MemoryType) -> String {
    switch memory {
    case .uop: "one micro-op"
    case .wgt: "BLOCK × BLOCK weights"
    case .inp: "BATCH × BLOCK inputs"
    case .acc: "BATCH × BLOCK accumulators"
    case .out: "BATCH × BLOCK outputs"
    case .acc8bit: "BATCH × BLOCK bytes, sign-extended into accumulators"
    }
  }

  private static func meaning(_ operation: ALUOpcode) -> String {
    switch operation {
    case .min: "the smaller operand"
    case .max: "the larger operand"
    case .add: "the sum, modulo 2^32"
    case .shr: "the first operand shifted right by the second; see [Profiles](Profiles.md)"
    case .mul: "the product, modulo 2^32; see [Profiles](Profiles.md)"
    }
  }

  // MARK: Formats

  private func formats(_ set: InstructionSet) -> String {
    [
      section(set.transfer, OperandSyntax.rows(.load)), section(set.gemm, OperandSyntax.rows(.gemm)),
      section(set.alu, OperandSyntax.rows(.alu)), section(set.finish, []), section(set.microOp, []),
    ].joined(separator: "\n")
  }

  private func section(_ format: InstructionFormat, _ operands: [OperandSyntax]) -> String {
    let rows = format.fields.map { field in
      [
        "\(field.word)", Self.bits(field), "`\(field.name.rawValue)`",
        "\(field.range.lowerBound)…\(field.range.upperBound)", Self.text(field.name, operands),
        field.name.summary,
      ]
    }
    return "### \(format.name)\n\n"
      + ReferencePage.table(["Word", "Bits", "Field", "Range", "In text", "Meaning"], rows)
  }

  private static func bits(_ field: Field) -> String {
    field.width == 1 ? "\(field.bit)" : "\(field.bit + field.width - 1):\(field.bit)"
  }

  private static func text(_ field: FieldName, _ operands: [OperandSyntax]) -> String {
    if FlagColumn.pops.contains(field) || FlagColumn.pushes.contains(field) {
      return "`\(FlagColumn.text { $0 == field ? 1 : 0 })`"
    }
    switch field {
    case .opcode, .memoryType, .aluOpcode: return "mnemonic"
    case .useImm: return "`imm=` is there"
    case .resetReg where !operands.contains { $0.fields.contains(field) }: return "`gemm.reset`"
    case .dstIdx, .srcIdx, .wgtIdx: return "`DST SRC WGT`"
    default:
      return operands.first { $0.fields.contains(field) }.map { "`\($0.key)=`" } ?? ""
    }
  }
}
