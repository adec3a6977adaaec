/// How fields appear in text: the tables that assembler and disassembler share.
///
/// A mnemonic fixes some fields, operands hold all others (Documentation/Assembly.md). Flags have a column of their
/// own, see ``FlagColumn``.
struct Mnemonic: Sendable {
  let text: String
  let opcode: Opcode
  let fixed: [FieldName: Int64]
  /// Every field but the flags is fixed; there are no operands.
  let isNoOperation: Bool

  fileprivate init(
    _ text: String, _ opcode: Opcode, _ fixed: [FieldName: Int64] = [:], isNoOperation: Bool = false
  ) {
    self.text = text
    self.opcode = opcode
    self.fixed = fixed
    self.isNoOperation = isNoOperation
  }
}

/// `KEY=VALUE`, or `KEY=VALUE/VALUE` with another separator.
struct OperandSyntax: Sendable {
  enum Presence {
    case required
    /// May be left out, but is always printed.
    case shown
    /// Printed if not zero; zero if left out.
    case nonZero
  }

  let key: String
  let fields: [FieldName]
  let separator: String
  let presence: Presence
  var isHexadecimal = false
  /// The operand is there only if another field has this value, and giving it sets that field.
  var condition: (field: FieldName, value: Int64)?

  init(
    _ key: String, _ fields: [FieldName], separator: String = "", _ presence: Presence,
    isHexadecimal: Bool = false, condition: (FieldName, Int64)? = nil
  ) {
    self.key = key
    self.fields = fields
    self.separator = separator
    self.presence = presence
    self.isHexadecimal = isHexadecimal
    self.condition = condition
  }

  /// `uop=UOP_BGN..<UOP_END`
  var usage: String { "\(key)=" + fields.map { $0.rawValue.uppercased() }.joined(separator: separator) }

  static let dram = "dram"
  /// Bits that no field holds, in both words.
  static let extra = "extra"

  private static let transfer: [OperandSyntax] = [
    OperandSyntax("sram", [.sramBase], .required, isHexadecimal: true),
    OperandSyntax(dram, [.dramBase], .required, isHexadecimal: true),
    OperandSyntax("y", [.ySize], .required),
    OperandSyntax("x", [.xSize], .required),
    OperandSyntax("stride", [.xStride], .required),
    OperandSyntax("pad", [.yPad0, .yPad1, .xPad0, .xPad1], separator: ",", .nonZero),
  ]

  private static let loops: [OperandSyntax] = [
    OperandSyntax("uop", [.uopBgn, .uopEnd], separator: "..<", .required),
    OperandSyntax("iter", [.iterOut, .iterIn], separator: "x", .required),
    OperandSyntax("dst", [.dstFactorOut, .dstFactorIn], separator: "/", .nonZero),
    OperandSyntax("src", [.srcFactorOut, .srcFactorIn], separator: "/", .nonZero),
  ]

  private static let gemm =
    loops + [OperandSyntax("wgt", [.wgtFactorOut, .wgtFactorIn], separator: "/", .nonZero)]

  private static let alu =
    [OperandSyntax("imm", [.imm], .shown, condition: (.useImm, 1))] + loops + [
      OperandSyntax("reset", [.resetReg], .nonZero),
      OperandSyntax("unused_imm", [.imm], .nonZero, condition: (.useImm, 0)),
    ]

  static func rows(_ opcode: Opcode) -> [OperandSyntax] {
    switch opcode {
    case .load, .store: transfer
    case .gemm: gemm
    case .alu: alu
    case .finish: []
    }
  }
}

extension InstructionSet {
  /// Most specific first: the first that matches an instruction is its mnemonic.
  var mnemonics: [Mnemonic] {
    func held(_ name: FieldName, _ code: Int) -> Bool {
      let format = name == .memoryType ? transfer : alu
      return format.field(name)?.range.contains(Int64(code)) ?? false
    }
    let loads = MemoryType.allCases.filter { held(.memoryType, $0.rawValue) }.map {
      Mnemonic("load.\($0)", .load, [.memoryType: Int64($0.rawValue)])
    }
    // Revision A has no code for OUT, and writes 0 instead (section 0.1).
    let stores = MemoryType.allCases.map { memory in
      (memory, revision == .b ? memory.rawValue : memory == .out ? 0 : memory == .uop ? -1 : memory.rawValue)
    }.filter { held(.memoryType, $0.1) }.map {
      Mnemonic("store.\($0.0)", .store, [.memoryType: Int64($0.1)])
    }
    let operations = ALUOpcode.allCases.filter { held(.aluOpcode, $0.rawValue) }.map {
      Mnemonic("alu.\($0)", .alu, [.aluOpcode: Int64($0.rawValue)])
    }
    return noOperations + loads + stores + operations + [
      Mnemonic("gemm", .gemm, [.resetReg: 0]), Mnemonic("gemm.reset", .gemm, [.resetReg: 1]),
      Mnemonic("finish", .finish, isNoOperation: true),
    ]
  }

  /// The three forms of section 2.7.
  private var noOperations: [Mnemonic] {
    let forms: [(ExecutionModule, Opcode, MemoryType)] = [
      (.load, .load, .inp), (.compute, .load, .uop), (.store, .store, .uop),
    ]
    let flags = FlagColumn.pops + FlagColumn.pushes
    return forms.map { module, opcode, memory in
      let names = transfer.fields.map(\.name).filter { $0 != .opcode && !flags.contains($0) }
      var fixed = Dictionary(uniqueKeysWithValues: names.map { ($0, Int64(0)) })
      fixed[.memoryType] = Int64(memory.rawValue)
      return Mnemonic("nop.\(module)", opcode, fixed, isNoOperation: true)
    }
  }
}

/// The dependence flags as a column that is always as wide: `[p-|-n]` waits for the previous module and signals the
/// next one.
enum FlagColumn {
  static let pops: [FieldName] = [.popPrevDep, .popNextDep]
  static let pushes: [FieldName] = [.pushPrevDep, .pushNextDep]
  private static let letters = ["p", "n"]

  static func text(_ value: (FieldName) -> Int64) -> String {
    func half(_ names: [FieldName]) -> String {
      zip(names, letters).map { value($0) != 0 ? $1 : "-" }.joined()
    }
    return "[\(half(pops))|\(half(pushes))]"
  }

  /// `nil` if the text is no column of flags.
  static func values(_ text: String) -> [FieldName: Int64]? {
    let all = (0..<16).map { bits in
      Dictionary(uniqueKeysWithValues: (pops + pushes).enumerated().map { ($1, Int64(bits >> $0 & 1)) })
    }
    return all.first { flags in self.text { flags[$0, default: 0] } == text }
  }
}
