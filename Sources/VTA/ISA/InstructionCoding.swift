/// An encoded instruction: two 64-bit little-endian words.
package struct InstructionWords: Hashable, Sendable {
  package var word0: UInt64
  package var word1: UInt64

  package init(_ word0: UInt64, _ word1: UInt64) {
    self.word0 = word0
    self.word1 = word1
  }

  /// Field values are 64-bit everywhere, so that dram_base fits where `Int` has 32 bits.
  subscript(field: Field) -> Int64 {
    get {
      let raw = ((field.word == 0 ? word0 : word1) >> UInt64(field.bit)) & field.mask
      return field.name.isSigned && raw >> UInt64(field.width - 1) != 0
        ? Int64(raw) - (1 << Int64(field.width)) : Int64(raw)
    }
    set {
      let bits = (UInt64(bitPattern: newValue) & field.mask) << UInt64(field.bit)
      if field.word == 0 { word0 |= bits } else { word1 |= bits }
    }
  }

  package func append(to bytes: inout [UInt8]) {
    withUnsafeBytes(of: word0.littleEndian) { bytes.append(contentsOf: $0) }
    withUnsafeBytes(of: word1.littleEndian) { bytes.append(contentsOf: $0) }
  }

  /// The instructions of a stream; a last partial instruction is left out.
  package static func stream(_ bytes: UnsafeRawBufferPointer) -> [InstructionWords] {
    (0..<bytes.count / Limits.instructionBytes).map { index in
      let offset = index * Limits.instructionBytes
      return InstructionWords(
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
    }
  }
}

/// Why an instruction has no encoding, or bits are no instruction.
package enum CodingError: Error, Equatable, CustomStringConvertible {
  case outOfRange(format: String, field: FieldName, value: Int64, range: ClosedRange<Int64>)
  case unknownOpcode(Int)
  case unknownMemoryType(Int)
  case unknownALUOpcode(Int)

  package var description: String {
    switch self {
    case .outOfRange(let format, let field, let value, let range):
      "\(field.rawValue) of \(format) is \(value), but must lie in \(range.lowerBound)…\(range.upperBound)"
    case .unknownOpcode(let code): "opcode \(code) is unknown; 0 to 4 are LOAD, STORE, GEMM, FINISH, ALU"
    case .unknownMemoryType(let code):
      "memory_type \(code) is unknown; 0 to 5 are UOP, WGT, INP, ACC, OUT, ACC_8BIT"
    case .unknownALUOpcode(let code): "alu_opcode \(code) is unknown; 0 to 4 are MIN, MAX, ADD, SHR, MUL"
    }
  }
}

extension InstructionSet {
  /// - Throws: ``CodingError/outOfRange(format:field:value:range:)``; nothing is ever truncated.
  package func encode(_ instruction: Instruction) throws(CodingError) -> InstructionWords {
    let format = format(instruction.opcode)
    var words = InstructionWords(0, 0)
    for field in format.fields {
      let value = fieldValue(field.name, of: instruction)
      guard field.range.contains(value) else {
        throw .outOfRange(format: format.name, field: field.name, value: value, range: field.range)
      }
      words[field] = value
    }
    return words
  }

  /// Bits outside the format's fields are ignored, as hardware does.
  package func decode(_ words: InstructionWords) throws(CodingError) -> Instruction {
    let code = Int(words.word0 & 7)
    guard let opcode = Opcode(rawValue: code) else { throw .unknownOpcode(code) }
    let values = FieldValues(format(opcode), words)
    let operation: Operation =
      switch opcode {
      case .load: .load(try transfer(values, isStore: false))
      case .store: .store(try transfer(values, isStore: true))
      case .gemm:
        .gemm(
          Gemm(
            reset: values[.resetReg] != 0, loops: loops(values), wgtFactorOut: values[.wgtFactorOut],
            wgtFactorIn: values[.wgtFactorIn]))
      case .alu: .alu(try alu(values))
      case .finish: .finish
      }
    return Instruction(operation, flags(values))
  }

  package func encode(_ microOp: MicroOp) throws(CodingError) -> UInt32 {
    var words = InstructionWords(0, 0)
    for field in self.microOp.fields {
      let value =
        switch field.name {
        case .dstIdx: Int64(microOp.dst)
        case .srcIdx: Int64(microOp.src)
        default: Int64(microOp.wgt)
        }
      guard field.range.contains(value) else {
        throw .outOfRange(
          format: self.microOp.name, field: field.name, value: value, range: field.range)
      }
      words[field] = value
    }
    return UInt32(truncatingIfNeeded: words.word0)
  }

  package func decode(microOp bits: UInt32) -> MicroOp {
    let values = FieldValues(microOp, InstructionWords(UInt64(bits), 0))
    return MicroOp(dst: values[.dstIdx], src: values[.srcIdx], wgt: values[.wgtIdx])
  }

  // MARK: Between typed instructions and field values

  private static let headerFlags: [(FieldName, DependenceFlags)] = [
    (.popPrevDep, .popPrev), (.popNextDep, .popNext), (.pushPrevDep, .pushPrev),
    (.pushNextDep, .pushNext),
  ]

  private func flags(_ values: FieldValues) -> DependenceFlags {
    Self.headerFlags.reduce(into: []) { if values[$1.0] != 0 { $0.insert($1.1) } }
  }

  /// What the encoder writes into a field, whether it fits or not.
  func fieldValue(_ name: FieldName, of instruction: Instruction) -> Int64 {
    if name == .opcode { return Int64(instruction.opcode.rawValue) }
    if let flag = Self.headerFlags.first(where: { $0.0 == name })?.1 {
      return instruction.flags.contains(flag) ? 1 : 0
    }
    return switch instruction.operation {
    case .load(let transfer), .store(let transfer): fieldValue(name, of: transfer)
    case .gemm(let gemm):
      switch name {
      case .resetReg: gemm.reset ? 1 : 0
      case .wgtFactorOut: Int64(gemm.wgtFactorOut)
      case .wgtFactorIn: Int64(gemm.wgtFactorIn)
      default: fieldValue(name, of: gemm.loops)
      }
    case .alu(let alu): fieldValue(name, of: alu)
    case .finish: 0
    }
  }

  private func fieldValue(_ name: FieldName, of transfer: Transfer) -> Int64 {
    switch name {
    // In revision A the two-bit field truncates OUT to 0; no store looks at it (section 0.1).
    case .memoryType:
      revision == .a && transfer.memory == .out ? 0 : Int64(transfer.memory.rawValue)
    case .sramBase: Int64(transfer.sramBase)
    case .dramBase: Int64(transfer.dramBase)
    case .ySize: Int64(transfer.ySize)
    case .xSize: Int64(transfer.xSize)
    case .xStride: Int64(transfer.xStride)
    case .yPad0: Int64(transfer.yPad0)
    case .yPad1: Int64(transfer.yPad1)
    case .xPad0: Int64(transfer.xPad0)
    case .xPad1: Int64(transfer.xPad1)
    default: 0
    }
  }

  private func fieldValue(_ name: FieldName, of alu: ALU) -> Int64 {
    switch name {
    case .resetReg: alu.reset ? 1 : 0
    case .aluOpcode: Int64(alu.opcode.rawValue)
    case .useImm: alu.operand == .accumulator ? 0 : 1
    case .imm: Int64(alu.immediateField)
    default: fieldValue(name, of: alu.loops)
    }
  }

  private func fieldValue(_ name: FieldName, of loops: LoopNest) -> Int64 {
    switch name {
    case .uopBgn: Int64(loops.uopBegin)
    case .uopEnd: Int64(loops.uopEnd)
    case .iterOut: Int64(loops.iterOut)
    case .iterIn: Int64(loops.iterIn)
    case .dstFactorOut: Int64(loops.dstFactorOut)
    case .dstFactorIn: Int64(loops.dstFactorIn)
    case .srcFactorOut: Int64(loops.srcFactorOut)
    case .srcFactorIn: Int64(loops.srcFactorIn)
    default: 0
    }
  }

  private func transfer(_ values: FieldValues, isStore: Bool) throws(CodingError) -> Transfer {
    let code = values[.memoryType]
    guard var memory = MemoryType(rawValue: code) else { throw .unknownMemoryType(code) }
    if isStore && revision == .a { memory = .out }
    return Transfer(
      memory: memory, sramBase: values[.sramBase],
      dramBase: UInt32(truncatingIfNeeded: values.wide(.dramBase)),
      ySize: values[.ySize], xSize: values[.xSize], xStride: values[.xStride],
      yPad0: values[.yPad0], yPad1: values[.yPad1], xPad0: values[.xPad0], xPad1: values[.xPad1])
  }

  private func loops(_ values: FieldValues) -> LoopNest {
    LoopNest(
      uopBegin: values[.uopBgn], uopEnd: values[.uopEnd], iterOut: values[.iterOut],
      iterIn: values[.iterIn], dstFactorOut: values[.dstFactorOut],
      dstFactorIn: values[.dstFactorIn], srcFactorOut: values[.srcFactorOut],
      srcFactorIn: values[.srcFactorIn])
  }

  private func alu(_ values: FieldValues) throws(CodingError) -> ALU {
    guard let opcode = ALUOpcode(rawValue: values[.aluOpcode]) else {
      throw .unknownALUOpcode(values[.aluOpcode])
    }
    let useImmediate = values[.useImm] != 0
    return ALU(
      opcode: opcode, operand: useImmediate ? .immediate(values[.imm]) : .accumulator,
      loops: loops(values), reset: values[.resetReg] != 0,
      unusedImmediate: useImmediate ? 0 : values[.imm])
  }
}

/// Field values of one encoded instruction by name; a field that the format lacks reads as zero.
private struct FieldValues {
  private let format: InstructionFormat
  private let words: InstructionWords

  init(_ format: InstructionFormat, _ words: InstructionWords) {
    self.format = format
    self.words = words
  }

  func wide(_ name: FieldName) -> Int64 {
    guard let field = format.field(name) else { return 0 }
    return words[field]
  }

  /// All fields but dram_base have at most 17 bits.
  subscript(name: FieldName) -> Int { Int(truncatingIfNeeded: wide(name)) }
}
