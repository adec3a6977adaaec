extension RecordedRun {
  /// The recorded program, translated for the fast simulator; `nil` if that leaves it to the plain one. Memory that the
  /// program does not store to counts as constant: each replay starts with the same.
  package func translation(kernels: KernelSet) throws -> TranslatedProgram? {
    let memory = try memoryBefore()
    let bytes = try memory.bytes(
      at: instructionAddress, count: instructionCount * Limits.instructionBytes)
    let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    let size = target.configuration.elementBytes(.out)
    var rows: [Range<UInt64>] = []
    for words in InstructionWords.stream(UnsafeRawBufferPointer(bytes)) {
      guard case .store(let transfer)? = try? set.decode(words).operation, transfer.xSize > 0 else {
        continue
      }
      let all = transfer.rows(elementBytes: size)
      rows += (0..<transfer.ySize).map(all.row)
    }
    let stored = StoredMemory(rows, elementBytes: size)
    return ProgramTranslator.translate(
      instructionAddress: instructionAddress, count: instructionCount, target: target, memory: memory,
      kernels: kernels, isConstant: { !stored.overlaps($0) })
  }
}
