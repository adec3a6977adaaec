/// Names of all fields of all formats. The text is VTA's own, from `hw_spec.h`.
package enum FieldName: String, Hashable, Sendable, CaseIterable {
  case opcode
  case popPrevDep = "pop_prev_dep"
  case popNextDep = "pop_next_dep"
  case pushPrevDep = "push_prev_dep"
  case pushNextDep = "push_next_dep"
  case memoryType = "memory_type"
  case sramBase = "sram_base"
  case dramBase = "dram_base"
  case ySize = "y_size"
  case xSize = "x_size"
  case xStride = "x_stride"
  case yPad0 = "y_pad_0"
  case yPad1 = "y_pad_1"
  case xPad0 = "x_pad_0"
  case xPad1 = "x_pad_1"
  case resetReg = "reset_reg"
  case uopBgn = "uop_bgn"
  case uopEnd = "uop_end"
  case iterOut = "iter_out"
  case iterIn = "iter_in"
  case dstFactorOut = "dst_factor_out"
  case dstFactorIn = "dst_factor_in"
  case srcFactorOut = "src_factor_out"
  case srcFactorIn = "src_factor_in"
  case wgtFactorOut = "wgt_factor_out"
  case wgtFactorIn = "wgt_factor_in"
  case aluOpcode = "alu_opcode"
  case useImm = "use_imm"
  case imm
  case dstIdx = "dst_idx"
  case srcIdx = "src_idx"
  case wgtIdx = "wgt_idx"

  /// Two's complement; all other fields are unsigned.
  package var isSigned: Bool { self == .imm }
}

/// One field and where the packing rule puts it.
package struct Field: Hashable, Sendable {
  package let name: FieldName
  package let width: Int
  package let word: Int
  package let bit: Int

  var mask: UInt64 { width == 64 ? .max : (1 << UInt64(width)) - 1 }

  /// Values that the field can hold.
  package var range: ClosedRange<Int64> {
    let width = Int64(width)
    return name.isSigned ? -(1 << (width - 1))...((1 << (width - 1)) - 1) : 0...((1 << width) - 1)
  }
}

/// Fields of one instruction in one configuration, placed by VTA's packing rule: from the least significant bit up,
/// and a field never straddles a container (reference/vta-hardware.md, section 2.2).
package struct InstructionFormat: Hashable, Sendable {
  package let name: String
  package let fields: [Field]

  init(
    name: String, words: Int, wordBits: Int, rows: [(FieldName, Int)]
  ) throws(ConfigurationError) {
    var placed: [Field] = []
    var word = 0
    var bit = 0
    for (fieldName, width) in rows {
      if bit + width > wordBits {
        word += 1
        bit = 0
      }
      guard word < words, (1...wordBits).contains(width) else {
        throw .fieldDoesNotFit(
          format: name, field: fieldName.rawValue, words: words, wordBits: wordBits)
      }
      placed.append(Field(name: fieldName, width: width, word: word, bit: bit))
      bit += width
    }
    self.name = name
    self.fields = placed
  }

  package func field(_ name: FieldName) -> Field? { fields.first { $0.name == name } }
}

/// All formats of one configuration and ISA revision: the only place that knows the order and width of fields.
package struct InstructionSet: Hashable, Sendable {
  package let configuration: HardwareConfiguration
  package let revision: ISARevision
  package let transfer: InstructionFormat
  package let gemm: InstructionFormat
  package let alu: InstructionFormat
  package let finish: InstructionFormat
  package let microOp: InstructionFormat

  /// - Throws: ``ConfigurationError/fieldDoesNotFit(format:field:words:wordBits:)``.
  package init(
    configuration c: HardwareConfiguration, revision: ISARevision
  ) throws(ConfigurationError) {
    let isA = revision == .a
    // Section 2.3.
    let header: [(FieldName, Int)] = [
      (.opcode, 3), (.popPrevDep, 1), (.popNextDep, 1), (.pushPrevDep, 1), (.pushNextDep, 1),
    ]
    // Sections 2.5 and 2.6: GEMM and ALU share everything up to dst_factor_in.
    let loops: [(FieldName, Int)] =
      header + [
        (.resetReg, 1), (.uopBgn, c.logUopDepth), (.uopEnd, c.logUopDepth + 1), (.iterOut, 14),
        (.iterIn, 14), (.dstFactorOut, c.logAccDepth), (.dstFactorIn, c.logAccDepth),
      ]
    let aluSource = isA ? c.logInpDepth : c.logAccDepth
    func words(_ name: String, _ rows: [(FieldName, Int)]) throws(ConfigurationError) -> InstructionFormat {
      try InstructionFormat(name: name, words: 2, wordBits: 64, rows: rows)
    }
    self.configuration = c
    self.revision = revision
    // Section 2.4.
    transfer = try words(
      "LOAD/STORE",
      header + [
        (.memoryType, isA ? 2 : 3), (.sramBase, 16), (.dramBase, 32), (.ySize, 16), (.xSize, 16),
        (.xStride, 16), (.yPad0, 4), (.yPad1, 4), (.xPad0, 4), (.xPad1, 4),
      ])
    gemm = try words(
      "GEMM",
      loops + [
        (.srcFactorOut, c.logInpDepth), (.srcFactorIn, c.logInpDepth),
        (.wgtFactorOut, c.logWgtDepth), (.wgtFactorIn, c.logWgtDepth),
      ])
    alu = try words(
      "ALU",
      loops + [
        (.srcFactorOut, aluSource), (.srcFactorIn, aluSource), (.aluOpcode, isA ? 2 : 3),
        (.useImm, 1), (.imm, 16),
      ])
    finish = try words("FINISH", header)
    // Section 2.8.
    microOp = try InstructionFormat(
      name: "micro-op", words: 1, wordBits: 32,
      rows: [
        (.dstIdx, c.logAccDepth), (.srcIdx, isA ? c.logInpDepth : max(c.logAccDepth, c.logInpDepth)),
        (.wgtIdx, c.logWgtDepth),
      ])
  }

  package func format(_ opcode: Opcode) -> InstructionFormat {
    switch opcode {
    case .load, .store: transfer
    case .gemm: gemm
    case .alu: alu
    case .finish: finish
    }
  }
}

/// The three-bit opcode (section 2.1).
package enum Opcode: Int, Hashable, Sendable, CaseIterable {
  case load = 0
  case store = 1
  case gemm = 2
  case finish = 3
  case alu = 4
}
