extension RecordedRun {
  /// What the verifier says of the recorded program. A recording does not tell what its program may touch, so all its
  /// memory counts as the program's, apart from the segment that holds the instructions.
  package func findings() throws -> [ProgramVerifier.Finding] {
    let memory = try memoryBefore()
    let words = InstructionWords.stream(
      UnsafeRawBufferPointer(
        try memory.bytes(at: instructionAddress, count: instructionCount * Limits.instructionBytes)))
    let extents = segments.filter {
      instructionAddress < $0.address || instructionAddress - $0.address >= $0.byteCount
    }.map {
      ProgramVerifier.Extent(address: $0.address, byteCount: $0.byteCount, isWritable: true)
    }
    return try ProgramVerifier.findings(words, target: target, extents: extents) { address, count in
      guard let bytes = try? memory.bytes(at: address, count: count * Limits.microOpBytes) else { return nil }
      return (0..<count).map {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * Limits.microOpBytes, as: UInt32.self))
      }
    }
  }
}
