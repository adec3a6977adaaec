package import VTA
package import VTAModule

/// Puts addresses into a private copy of a program.
package enum ProgramPatch {
  /// `dram_base := (address of the region + byte offset) / element bytes` at every relocation.
  ///
  /// - Parameter regions: addresses by index.
  /// - Throws: if an address is no multiple of its instruction's element size, or beyond what instructions reach.
  package static func words(
    of program: DeviceProgram, target: Target, regions: [DeviceAddress]
  ) throws(PatchError) -> [InstructionWords] {
    do {
      let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
      var words = program.instructions.withUnsafeBytes { InstructionWords.stream($0) }
      for relocation in program.relocations {
        let address = regions[relocation.region].advanced(by: relocation.byteOffset)
        let instruction = try set.decode(words[relocation.instruction])
        words[relocation.instruction] = try set.encode(patched(instruction, address, target.configuration))
      }
      return words
    } catch let error as PatchError {
      throw error
    } catch {
      throw PatchError(description: "\(error)")
    }
  }

  private static func patched(
    _ instruction: Instruction, _ address: DeviceAddress, _ configuration: HardwareConfiguration
  ) throws(PatchError) -> Instruction {
    func transfer(_ transfer: Transfer) throws(PatchError) -> Transfer {
      // Hardware takes the low 32 bits of the byte address (reference/vta-hardware.md, section 3.1).
      guard let byteAddress = UInt32(exactly: address.rawValue) else {
        throw PatchError(description: "the device address \(address) is beyond the 4 GiB that programs reach")
      }
      let element = configuration.elementBytes(transfer.memory)
      guard byteAddress % UInt32(element) == 0 else {
        throw PatchError(
          description: "the device address \(address) is not a multiple of the \(element) bytes of one "
            + "\(transfer.memory) element")
      }
      var transfer = transfer
      transfer.dramBase = byteAddress / UInt32(element)
      return transfer
    }
    var instruction = instruction
    switch instruction.operation {
    case .load(let load): instruction.operation = .load(try transfer(load))
    case .store(let store): instruction.operation = .store(try transfer(store))
    case .gemm, .alu, .finish:
      throw PatchError(description: "a relocation is on an instruction that has no address")
    }
    return instruction
  }

  package struct PatchError: Error, CustomStringConvertible {
    package let description: String
  }
}
