package import VTA

extension MachineProgram {
  /// A recorded run without the segment that holds its instructions; what the recording shows as changed is writable.
  /// Segments end where the program's transfers end, so that a run need not clear megabytes that nothing touches.
  package init(name: String, _ run: RecordedRun) throws {
    let memory = try run.memoryBefore()
    let set = try InstructionSet(
      configuration: run.target.configuration, revision: run.target.profile.revision)
    let words = try memory.withBytes(
      at: run.instructionAddress, count: run.instructionCount * Limits.instructionBytes
    ) { InstructionWords.stream($0) }
    let segments = try run.segments.sorted { $0.address < $1.address }.compactMap { segment -> Segment? in
      let range = segment.address..<segment.address + segment.byteCount
      if range.contains(run.instructionAddress) { return nil }
      let end =
        words.compactMap { Self.dramRange(try? set.decode($0), run.target.configuration) }
        .filter { range.contains($0.lowerBound) }.map(\.upperBound).max() ?? segment.address
      let bytes = try memory.withBytes(
        at: segment.address, count: Int(min(end, range.upperBound) - segment.address)
      ) { Array($0) }
      return Segment(address: segment.address, bytes: bytes, isWritable: segment.after != nil)
    }
    self.init(name: name, target: run.target, words: words, segments: segments)
  }

  /// Bytes from the first to the last that a LOAD or STORE touches.
  static func dramRange(
    _ instruction: Instruction?, _ configuration: HardwareConfiguration
  ) -> Range<UInt64>? {
    switch instruction?.operation {
    case .load(let t), .store(let t):
      guard t.xSize > 0, t.ySize > 0 else { return nil }
      let size = UInt64(configuration.elementBytes(t.memory))
      let first = UInt64(t.dramBase) * size
      return first..<first + (UInt64(t.ySize - 1) * UInt64(t.xStride) + UInt64(t.xSize)) * size
    case .gemm, .alu, .finish, nil: return nil
    }
  }
}
