@testable import VTA

/// A hand-made program in memory of its own: micro-ops, inputs and outputs at fixed addresses.
struct TestProgram {
  static let microOps: UInt64 = 0x1000
  static let data: UInt64 = 0x10000
  static let dataByteCount = 0x40000
  static let stream: UInt64 = 0x100000

  let target: Target
  var microOps: [MicroOp] = []
  var instructions: [Instruction] = []
  /// Contents of the data region; zeros follow.
  var data: [UInt8] = []

  init(_ profile: HardwareProfile) throws {
    target = try Target(name: "test", configuration: .default, profile: profile)
  }

  /// Index of the first element of a memory type in the data region, as `dram_base` counts.
  func dataBase(_ memory: MemoryType) -> UInt32 {
    UInt32(Self.data) / UInt32(target.configuration.elementBytes(memory))
  }

  var set: InstructionSet {
    get throws {
      try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    }
  }

  func words() throws -> [InstructionWords] {
    let set = try set
    return try instructions.map { try set.encode($0) }
  }

  func memory() throws -> SimulatedMemory {
    let memory = SimulatedMemory()
    let set = try set
    let bits = try microOps.map { try set.encode($0) }
    try memory.map(address: Self.microOps, byteCount: UInt64(max(4096, bits.count * 4)))
    try memory.withMutableBytes(at: Self.microOps, count: bits.count * 4) { bytes in
      for (index, value) in bits.enumerated() {
        bytes.storeBytes(of: value.littleEndian, toByteOffset: index * 4, as: UInt32.self)
      }
    }
    try memory.map(address: Self.data, byteCount: UInt64(Self.dataByteCount))
    try memory.withMutableBytes(at: Self.data, count: data.count) { $0.copyBytes(from: data) }
    var bytes: [UInt8] = []
    for word in try words() { word.append(to: &bytes) }
    try memory.map(address: Self.stream, byteCount: UInt64(max(1, bytes.count)))
    try memory.withMutableBytes(at: Self.stream, count: bytes.count) { $0.copyBytes(from: bytes) }
    return memory
  }

  /// The data region after a run.
  func run(_ schedule: Schedule = .inOrder) throws -> [UInt8] {
    let memory = try memory()
    var simulator = try FunctionalSimulator(target: target)
    try simulator.run(
      instructionAddress: Self.stream, count: instructions.count, memory: memory, schedule: schedule)
    return try memory.withBytes(at: Self.data, count: Self.dataByteCount) { Array($0) }
  }

  func observations() throws -> [String] {
    var simulator = try FunctionalSimulator(target: target, isStrict: true)
    try simulator.run(
      instructionAddress: Self.stream, count: instructions.count, memory: try memory())
    return simulator.observations.map(\.message)
  }

  func findings() throws -> [ProgramVerifier.Finding] {
    let memory = try memory()
    let extents = [
      ProgramVerifier.Extent(address: Self.microOps, byteCount: 4096, isWritable: false),
      ProgramVerifier.Extent(address: Self.data, byteCount: UInt64(Self.dataByteCount), isWritable: true),
    ]
    return try ProgramVerifier.findings(try words(), target: target, extents: extents) { address, count in
      try? memory.withBytes(at: address, count: count * 4) { bytes in
        (0..<count).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: UInt32.self).littleEndian }
      }
    }
  }
}

extension Instruction {
  static func load(
    _ memory: MemoryType, sram: Int, dram: UInt32, x: Int, y: Int = 1, stride: Int? = nil,
    _ flags: DependenceFlags = []
  ) -> Instruction {
    Instruction(
      .load(
        Transfer(memory: memory, sramBase: sram, dramBase: dram, ySize: y, xSize: x, xStride: stride ?? x)),
      flags)
  }

  static func store(
    sram: Int, dram: UInt32, x: Int, y: Int = 1, stride: Int? = nil, _ flags: DependenceFlags = []
  ) -> Instruction {
    Instruction(
      .store(
        Transfer(memory: .out, sramBase: sram, dramBase: dram, ySize: y, xSize: x, xStride: stride ?? x)),
      flags)
  }

  static func gemm(reset: Bool = false, _ loops: LoopNest, _ flags: DependenceFlags = []) -> Instruction {
    Instruction(.gemm(Gemm(reset: reset, loops: loops)), flags)
  }

  static func alu(
    _ opcode: ALUOpcode, _ operand: ALU.Operand, _ loops: LoopNest, unusedImmediate: Int = 0,
    _ flags: DependenceFlags = []
  ) -> Instruction {
    Instruction(
      .alu(ALU(opcode: opcode, operand: operand, loops: loops, unusedImmediate: unusedImmediate)), flags)
  }
}
