internal import VTA
internal import VTAModule

/// The programs of a module with what belongs to each instruction, for `vtactl disassemble --json`.
struct ModuleListing: Encodable {
  struct Line: Encodable {
    let instruction: Int
    let text: String
    /// `nil` between layers, FINISH for instance.
    let layer: String?
    /// `REGION+BYTES` that the loader puts into dram_base.
    let address: String?
    /// Of a LOAD of micro-ops: `index: dst src wgt`, where they go.
    let microOps: [String]
  }

  let programs: [[Line]]

  init(_ module: Module) throws(ConfigurationError) {
    let set = try InstructionSet(
      configuration: module.target.configuration, revision: module.target.profile.revision)
    programs = module.programs.indices.map { Self.lines(ofProgram: $0, in: module, set) }
  }

  private static func lines(ofProgram program: Int, in module: Module, _ set: InstructionSet) -> [Line] {
    let disassembler = Disassembler(set)
    let stream = module.programs[program].instructions.withUnsafeBytes { InstructionWords.stream($0) }
    var relocations = module.programs[program].relocations[...]
    let layers = module.layers.filter { $0.program == program }
    return stream.enumerated().map { index, words in
      let relocation = relocations.first?.instruction == index ? relocations.popFirst() : nil
      return Line(
        instruction: index, text: disassembler.text(words),
        layer: layers.first { $0.instructions.contains(index) }.map { "\($0.name) (\($0.op))" },
        address: relocation.map { "\(module.regions[$0.region].name)+\($0.byteOffset)" },
        microOps: relocation.map { microOps(words, $0, module, disassembler) } ?? [])
    }
  }

  private static func microOps(
    _ words: InstructionWords, _ relocation: Relocation, _ module: Module, _ disassembler: Disassembler
  ) -> [String] {
    let set = disassembler.instructionSet
    guard case .load(let transfer) = try? set.decode(words).operation, transfer.memory == .uop,
      case .microOps(let bytes) = module.regions[relocation.region].role
    else { return [] }
    return (0..<transfer.ySize * transfer.xSize).compactMap { index in
      let element = UInt64(index / transfer.xSize * transfer.xStride + index % transfer.xSize)
      guard let offset = Int(exactly: relocation.byteOffset + element * UInt64(Limits.microOpBytes)),
        offset + Limits.microOpBytes <= bytes.count
      else { return nil }
      let bits = (0..<Limits.microOpBytes).reduce(UInt32(0)) {
        $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1)
      }
      return "\(transfer.sramBase + index): \(disassembler.text(microOp: bits))"
    }
  }
}
