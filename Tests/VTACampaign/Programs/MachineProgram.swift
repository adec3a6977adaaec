package import VTA

/// A patched program, the memory that it may touch, and the accelerator that runs it.
package struct MachineProgram: Sendable {
  package struct Segment: Sendable {
    package var address: UInt64
    /// Before the run.
    package var bytes: [UInt8]
    package var isWritable: Bool

    package init(address: UInt64, bytes: [UInt8], isWritable: Bool) {
      self.address = address
      self.bytes = bytes
      self.isWritable = isWritable
    }

    var end: UInt64 { address + UInt64(bytes.count) }
  }

  package var name: String
  package var target: Target
  package var words: [InstructionWords]
  /// Sorted by address, disjoint.
  package var segments: [Segment]

  package init(name: String, target: Target, words: [InstructionWords], segments: [Segment]) {
    self.name = name
    self.target = target
    self.words = words
    self.segments = segments
  }

  package func findings() throws -> [ProgramVerifier.Finding] {
    let extents = segments.map {
      ProgramVerifier.Extent(
        address: $0.address, byteCount: UInt64($0.bytes.count), isWritable: $0.isWritable)
    }
    return try ProgramVerifier.findings(words, target: target, extents: extents, readMicroOps: microOps)
  }

  /// `nil` where programs could write.
  private func microOps(at address: UInt64, count: Int) -> [UInt32]? {
    guard
      let segment = segments.last(where: { $0.address <= address }), !segment.isWritable,
      address < segment.end, count <= Int(segment.end - address) / Limits.microOpBytes
    else { return nil }
    let offset = Int(address - segment.address)
    return segment.bytes.withUnsafeBytes { raw in
      (0..<count).map { index in
        UInt32(
          littleEndian: raw.loadUnaligned(
            fromByteOffset: offset + index * Limits.microOpBytes, as: UInt32.self))
      }
    }
  }

  /// Multiplications and moved elements of one run, about: what it costs to simulate.
  package func cost(_ instructionSet: InstructionSet) -> Int {
    let c = target.configuration
    var total = words.count
    for word in words {
      switch try? instructionSet.decode(word).operation {
      case .gemm(let gemm): total += gemm.loops.stepCount * c.batch * c.block * c.block
      case .alu(let alu): total += alu.loops.stepCount * c.batch * c.block
      case .load(let t): total += t.loadedCount * c.elementBytes(t.memory)
      case .store(let t): total += t.ySize * t.xSize * c.elementBytes(.out)
      case .finish, nil: break
      }
    }
    return total
  }
}

/// A simulated accelerator with the memory of one program.
package struct Machine {
  package enum Outcome: Hashable, Sendable {
    /// Memory after the run, by segment.
    case finished([[UInt8]])
    case failed(String)
  }

  /// The stream lies where no segment does, far from all of them.
  static let streamAddress: UInt64 = 0xf000_0000

  private let program: MachineProgram
  private let stream: [UInt8]
  private var simulator: FunctionalSimulator

  package init(_ program: MachineProgram) throws {
    self.program = program
    var stream: [UInt8] = []
    for word in program.words { word.append(to: &stream) }
    self.stream = stream
    simulator = try FunctionalSimulator(target: program.target)
  }

  package mutating func run(_ schedule: Schedule = .inOrder) throws -> Outcome {
    let memory = SimulatedMemory()
    for segment in program.segments where !segment.bytes.isEmpty {
      try memory.map(address: segment.address, byteCount: UInt64(segment.bytes.count))
      try memory.withMutableBytes(at: segment.address, count: segment.bytes.count) {
        $0.copyBytes(from: segment.bytes)
      }
    }
    try memory.map(address: Self.streamAddress, byteCount: UInt64(stream.count))
    try memory.withMutableBytes(at: Self.streamAddress, count: stream.count) { $0.copyBytes(from: stream) }
    do throws(SimulationError) {
      try simulator.run(
        instructionAddress: Self.streamAddress, count: program.words.count, memory: memory, schedule: schedule
      )
    } catch {
      return .failed("\(error)")
    }
    func bytes(_ address: UInt64, _ count: Int) throws -> [UInt8] {
      count == 0 ? [] : try memory.withBytes(at: address, count: count) { Array($0) }
    }
    guard try bytes(Self.streamAddress, stream.count) == stream else {
      return .failed("the program wrote to its own instructions")
    }
    let after = try program.segments.map { try bytes($0.address, $0.bytes.count) }
    for (segment, bytes) in zip(program.segments, after) where !segment.isWritable && bytes != segment.bytes {
      return .failed("the program wrote to read-only memory at 0x\(String(segment.address, radix: 16))")
    }
    return .finished(after)
  }
}
