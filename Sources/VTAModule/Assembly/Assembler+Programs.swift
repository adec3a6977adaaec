internal import VTA

/// Instruction streams.
extension Assembler {
  mutating func takeProgram(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    _ = try knownTarget(arguments)
    note("program", programs.count, at: arguments.line)
    programs.append(DeviceProgram(instructions: [], relocations: []))
    section = .program
  }

  mutating func takeInstruction(_ line: AssemblyLine) throws(AssemblyError) {
    guard let instructions, let target, !programs.isEmpty else { return }
    let result = try instructions.assemble(line)
    let program = programs.count - 1
    if let address = result.address {
      let relocation = try relocation(
        address, programs[program].instructionCount, target.configuration, line)
      note("program \(program), relocation", programs[program].relocations.count, at: line)
      programs[program].relocations.append(relocation)
    }
    result.words.append(to: &programs[program].instructions)
  }

  private func relocation(
    _ address: InstructionAssembler.Address, _ instruction: Int, _ configuration: HardwareConfiguration,
    _ line: AssemblyLine
  ) throws(AssemblyError) -> Relocation {
    guard let region = regionIndices[address.name] else {
      throw unknown("region", address.name, regionIndices, line, address.token)
    }
    var element = address.offset
    if let label = address.label {
      guard let index = kernels[region]?[label] else {
        throw unknown("micro-kernel of \(address.name)", label, kernels[region] ?? [:], line, address.token)
      }
      guard address.memory == .uop else {
        throw line.error(
          address.token, "a micro-kernel is loaded with load.uop only; write REGION+ELEMENTS")
      }
      element += UInt64(index)
    }
    let byteOffset = element * UInt64(configuration.elementBytes(address.memory))
    guard byteOffset < regions[region].byteCount else {
      throw line.error(
        address.token,
        "element \(element) of \(address.memory) begins at byte \(byteOffset), but the region \(address.name) has "
          + "\(regions[region].byteCount); correct the offset")
    }
    return Relocation(instruction: instruction, region: region, byteOffset: byteOffset)
  }
}
