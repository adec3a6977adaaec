internal import VTA
internal import VTAModule

/// A small program that uses every path between memory and accelerator: biases + inputs × weights, through all four
/// modules. What it must give comes from the plain simulator, run over the same words and bytes.
///
/// Nothing in it is known to one implementation only: OUT is written by GEMM (on HLS hardware a LOAD ACC is not visible to
/// STORE), accumulators lie apart, no LOAD pads.
struct SelfTest {
  enum Verdict: Equatable {
    case passed
    /// Bytes of the output that are not what they must be, in the first round that failed.
    case wrong(bytes: Int, of: Int)

    var description: String {
      switch self {
      case .passed: "passed the self-test"
      case .wrong(let bytes, let count): "\(bytes) of \(count) bytes were wrong"
      }
    }
  }

  private let target: Target
  private let program: DeviceProgram
  private let byteCounts: [UInt64]
  private let microOps: [UInt8]

  private enum RegionIndex {
    static let inp = 0
    static let wgt = 1
    static let acc = 2
    static let out = 3
    static let uop = 4
  }

  /// Some cache lines of each memory.
  private static let tileCount = 32
  /// More than any hardware takes for so few of them.
  static let longestRun = Duration.milliseconds(5)
  /// Luck does not last this long.
  private static let rounds = 4

  /// - Throws: ``DeviceError/unsupportedTarget(target:reason:)``.
  init(target: Target) throws(DeviceError) {
    self.target = target
    let c = target.configuration
    let tiles = [Self.tileCount, c.depth(.inp), c.depth(.acc), c.depth(.out)].min() ?? 1
    var builder = ProgramBuilder(target: target, microOpRegion: RegionIndex.uop)
    func transfer(_ memory: MemoryType, _ count: Int) -> Transfer {
      Transfer(memory: memory, sramBase: 0, ySize: 1, xSize: count, xStride: count)
    }
    func region(_ index: Int) -> ProgramBuilder.Location {
      ProgramBuilder.Location(region: index, byteOffset: 0)
    }
    let inputs = builder.load(transfer(.inp, tiles), from: region(RegionIndex.inp))
    let weights = builder.load(transfer(.wgt, 1), from: region(RegionIndex.wgt))
    let biases = builder.load(transfer(.acc, tiles), from: region(RegionIndex.acc))
    let product = builder.compute(
      .gemm, [NestDimension(extent: tiles, dst: 1, src: 1)], base: MicroOp(dst: 0, src: 0),
      after: [inputs, weights, biases])
    builder.store(transfer(.out, tiles), to: region(RegionIndex.out), after: [product])
    let result = builder.finish()
    do {
      let set = try InstructionSet(configuration: c, revision: target.profile.revision)
      var stream: [UInt8] = []
      for instruction in result.instructions { try set.encode(instruction).append(to: &stream) }
      program = DeviceProgram(
        instructions: stream,
        relocations: result.relocations.map {
          Relocation(
            instruction: $0.instruction, region: $0.location.region, byteOffset: $0.location.byteOffset)
        })
      microOps = try result.microOps.flatMap { microOp in
        withUnsafeBytes(of: try set.encode(microOp).littleEndian) { Array($0) }
      }
    } catch {
      throw .unsupportedTarget(target: target, reason: "\(error)")
    }
    byteCounts = [
      UInt64(tiles * c.elementBytes(.inp)), UInt64(c.elementBytes(.wgt)),
      UInt64(tiles * c.elementBytes(.acc)),
      UInt64(tiles * c.elementBytes(.out)), UInt64(microOps.count),
    ]
  }

  /// - Parameters:
  ///   - code: where instructions and micro-ops go; what the accelerator reads there must be right.
  ///   - data: what is tested.
  ///   - run: a program of that many instructions.
  func run(
    code: DeviceMemory, data: DeviceMemory, window: Range<UInt64>,
    _ run: (_ program: DeviceAddress, _ count: UInt32) throws(DeviceError) -> Void
  ) throws(DeviceError) -> Verdict {
    let inData = try data.allocate(Array(byteCounts[..<RegionIndex.uop]))
    defer { data.free(inData[0]) }
    let inCode = try code.allocate([byteCounts[RegionIndex.uop], UInt64(program.instructions.count)])
    defer { code.free(inCode[0]) }
    let regions = inData + [inCode[0]]
    let words = try checkedWords(regions, window)
    var stream: [UInt8] = []
    for word in words { word.append(to: &stream) }
    try code.copyIn(microOps, to: inCode[0])
    try code.copyIn(stream, to: inCode[1])
    var noise = SeededGenerator(seed: 0)
    for _ in 0..<Self.rounds {
      let contents = inData.indices.map { index in
        (0..<byteCounts[index]).map { _ in UInt8.random(in: .min ... .max, using: &noise) }
      }
      let expected = try simulated(contents, regions: regions, stream: stream, at: inCode[1])
      for (address, bytes) in zip(inData, contents) { try data.copyIn(bytes, to: address) }
      try run(inCode[1], UInt32(words.count))
      let found = try data.copyOut(from: inData[RegionIndex.out], byteCount: expected.count)
      let wrong = zip(found, expected).count { $0 != $1 }
      if wrong > 0 { return .wrong(bytes: wrong, of: expected.count) }
    }
    return .passed
  }

  private func checkedWords(
    _ regions: [DeviceAddress], _ window: Range<UInt64>
  ) throws(DeviceError) -> [InstructionWords] {
    do {
      let words = try ProgramPatch.words(of: program, target: target, regions: regions)
      let findings = try ProgramVerifier.findings(
        words, target: target,
        extents: zip(regions, byteCounts).enumerated().map { index, region in
          ProgramVerifier.Extent(
            address: region.0.rawValue, byteCount: region.1, isWritable: index == RegionIndex.out)
        },
        window: window,
        readMicroOps: { address, count in
          let start = Int(address - regions[RegionIndex.uop].rawValue) / Limits.microOpBytes
          guard start + count <= microOps.count / Limits.microOpBytes else { return nil }
          return (start..<start + count).map { index in
            microOps.withUnsafeBytes {
              UInt32(
                littleEndian: $0.loadUnaligned(fromByteOffset: index * Limits.microOpBytes, as: UInt32.self))
            }
          }
        })
      if let finding = findings.first { throw DeviceError.selfTestFailed(reason: finding.description) }
      return words
    } catch let error as DeviceError {
      throw error
    } catch {
      throw .selfTestFailed(reason: "\(error)")
    }
  }

  /// What OUT holds after the program, given what the data regions hold before.
  private func simulated(
    _ contents: [[UInt8]], regions: [DeviceAddress], stream: [UInt8], at program: DeviceAddress
  ) throws(DeviceError) -> [UInt8] {
    do {
      let memory = SimulatedMemory()
      let page = Limits.regionAlignment
      for (address, bytes) in zip(regions + [program], contents + [microOps, stream]) {
        try memory.map(
          address: address.rawValue, byteCount: (UInt64(bytes.count) + page - 1) / page * page)
        try memory.withMutableBytes(at: address.rawValue, count: bytes.count) { $0.copyBytes(from: bytes) }
      }
      var simulator = try FunctionalSimulator(target: target)
      try simulator.run(
        instructionAddress: program.rawValue, count: stream.count / Limits.instructionBytes, memory: memory)
      return try memory.withBytes(
        at: regions[RegionIndex.out].rawValue, count: contents[RegionIndex.out].count
      ) { Array($0) }
    } catch {
      throw .selfTestFailed(reason: "the simulator refuses the program: \(error)")
    }
  }
}
