extension RecordedRun {
  /// A recorded program with the memory that it may touch. A recording does not tell which that is, so all its memory
  /// counts as the program's, apart from the segment that holds the instructions.
  package struct Verification {
    package let words: [InstructionWords]
    private let target: Target
    private let extents: [ProgramVerifier.Extent]
    private let memory: SimulatedMemory

    init(_ run: RecordedRun) throws(MemoryFault) {
      memory = try run.memoryBefore()
      let bytes = try memory.bytes(
        at: run.instructionAddress, count: run.instructionCount * Limits.instructionBytes)
      words = InstructionWords.stream(UnsafeRawBufferPointer(bytes))
      target = run.target
      extents = run.segments.filter {
        run.instructionAddress < $0.address || run.instructionAddress - $0.address >= $0.byteCount
      }.map {
        ProgramVerifier.Extent(address: $0.address, byteCount: $0.byteCount, isWritable: true)
      }
    }

    package func findings() throws(ConfigurationError) -> [ProgramVerifier.Finding] {
      try ProgramVerifier.findings(words, target: target, extents: extents) { address, count in
        guard let bytes = try? memory.bytes(at: address, count: count * Limits.microOpBytes) else {
          return nil
        }
        return (0..<count).map {
          UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * Limits.microOpBytes, as: UInt32.self))
        }
      }
    }
  }

  package func verification() throws(MemoryFault) -> Verification { try Verification(self) }

  /// What the verifier says of the recorded program.
  package func findings() throws -> [ProgramVerifier.Finding] { try verification().findings() }
}
