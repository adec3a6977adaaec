package import VTA

/// A random program that looks like layers of a network, tile after tile, with a liberty here and there: accumulators that
/// are loaded instead of reset, values that leave the usual order of bias, shift and clip, stores over inputs.
///
/// Data is random; equal seeds give equal programs. Tokens order most of what depends on each other, not all: which order comes
/// out is the same for all simulators.
package struct LayerProgram {
  package let target: Target
  package let words: [InstructionWords]
  package let instructionAddress: UInt64 = 0x100_0000

  private static let constants: UInt64 = 0x10_0000
  private static let microOps: UInt64 = 0x20_0000
  private static let data: UInt64 = 0x40_0000
  static let dataBytes = 1 << 16
  private let constantBytes: [UInt8]
  private let microOpWords: [UInt32]
  private let dataContents: [UInt8]

  /// Names of the configurations that programs have, the ones of the recordings.
  package static let configurations = [
    "1x16_i8w8a32_15_15_18_17", "1x16_i8w4a32_15_15_17_17", "1x32_i8w8a32_15_15_18_17",
    "1x8_i8w8a32_15_14_16_16", "2x16_i4w4a32_15_14_17_18", "4x16_i8w8a32_15_16_18_18",
    "1x4_i8w8a32_15_13_13_15",
  ]

  /// - Throws: ``ConfigurationError`` if the profile's hardware can't have this shape.
  ///
  /// - Parameter isPooled: every tile ends in a maximum over its accumulators; otherwise some do.
  package init(
    _ profile: HardwareProfile, _ configuration: HardwareConfiguration, seed: UInt64, isPooled: Bool = false
  ) throws {
    target = try Target(name: "random", configuration: configuration, profile: profile)
    // Each pair has programs of its own.
    let seed = (profile.name + configuration.name).utf8.reduce(seed) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    var random = SeededGenerator(seed: seed)
    constantBytes = Self.constants(configuration, &random)
    dataContents = (0..<Self.dataBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
    var writer = LayerWriter(target: target, random: random, isPooled: isPooled)
    for _ in 0..<Int.random(in: 1...6, using: &random) { writer.tile() }
    let result = writer.builder.finish()
    let set = try InstructionSet(configuration: configuration, revision: target.profile.revision)
    var instructions = result.instructions
    for index in instructions.indices { instructions[index].setUnusedImmediate(&random) }
    for relocation in result.relocations {
      let base = [Self.constants, Self.microOps, Self.data][relocation.location.region]
      instructions[relocation.instruction].place(
        at: base + relocation.location.byteOffset, configuration)
    }
    words = try instructions.map { try set.encode($0) }
    microOpWords = try result.microOps.map { try set.encode($0) }
  }

  /// Weights and lanes with more of the extremes than chance gives, and a stretch of zeros; from the middle on, lanes as small as biases are; at the end
  /// an identity tile, and before it one that nearly is.
  private static func constants(
    _ c: HardwareConfiguration, _ random: inout SeededGenerator
  ) -> [UInt8] {
    var bytes = (0..<dataBytes).map { _ in
      [UInt8(0), 0x80, 0x7F][Int.random(in: 0...2, using: &random)]
        &+ (Int.random(in: 0...3, using: &random) > 0 ? UInt8.random(in: 0...255, using: &random) : 0)
    }
    for byte in dataBytes / 4..<dataBytes / 16 * 5 { bytes[byte] = 0 }
    for lane in dataBytes / 8..<dataBytes / 4 {
      let range: Int32 = Bool.random(using: &random) ? 12 : 3000
      var value = UInt32(bitPattern: Int32.random(in: -(range / 3)...range, using: &random))
      for byte in 0..<4 {
        bytes[4 * lane + byte] = UInt8(truncatingIfNeeded: value)
        value >>= 8
      }
    }
    let size = c.elementBytes(.wgt)
    for tile in 1...2 {
      let first = dataBytes - tile * size
      for byte in first..<first + size { bytes[byte] = 0 }
      for output in 0..<c.block {
        let bit = output * (c.block + 1) * c.wgtBits
        bytes[first + bit / 8] |= 1 << UInt8(bit % 8)
      }
    }
    bytes[dataBytes - 2 * size + Int.random(in: 0..<size, using: &random)] ^= 2
    return bytes
  }

  /// Where the tiles at the end of the constants lie.
  static func identity(_ c: HardwareConfiguration, isExact: Bool) -> UInt64 {
    UInt64(dataBytes - (isExact ? 1 : 2) * c.elementBytes(.wgt))
  }

  package func memory() throws -> SimulatedMemory {
    let memory = SimulatedMemory()
    func map(_ address: UInt64, _ bytes: [UInt8]) throws {
      try memory.map(address: address, byteCount: UInt64(max(bytes.count, 1)))
      try memory.withMutableBytes(at: address, count: bytes.count) { $0.copyBytes(from: bytes) }
    }
    try map(Self.constants, constantBytes)
    try map(Self.data, dataContents)
    try map(
      Self.microOps,
      microOpWords.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } })
    var stream: [UInt8] = []
    for word in words { word.append(to: &stream) }
    try map(instructionAddress, stream)
    return memory
  }

  /// What the program may have changed.
  package func result(_ memory: SimulatedMemory) throws -> [UInt8] {
    try memory.withBytes(at: Self.data, count: Self.dataBytes) { Array($0) }
  }

  package func isConstant(_ range: Range<UInt64>) -> Bool {
    !range.overlaps(Self.data..<Self.data + UInt64(Self.dataBytes))
  }
}

extension Instruction {
  fileprivate mutating func place(at address: UInt64, _ c: HardwareConfiguration) {
    switch operation {
    case .load(var transfer):
      transfer.dramBase = UInt32(address / UInt64(c.elementBytes(transfer.memory)))
      self = Instruction(.load(transfer), flags)
    case .store(var transfer):
      transfer.dramBase = UInt32(address / UInt64(c.elementBytes(.out)))
      self = Instruction(.store(transfer), flags)
    case .gemm, .alu, .finish: break
    }
  }

  /// On some profiles its sign is the direction of shifts by tensors.
  fileprivate mutating func setUnusedImmediate(_ random: inout SeededGenerator) {
    guard case .alu(var alu) = operation, alu.opcode == .shr, alu.operand == .accumulator,
      Int.random(in: 0..<4, using: &random) == 0
    else { return }
    alu.unusedImmediate = -1
    self = Instruction(.alu(alu), flags)
  }
}
