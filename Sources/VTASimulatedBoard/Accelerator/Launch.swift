internal import VTA

/// What the registers say when a run starts.
struct Launch: Equatable {
  /// How a base register and the address in an instruction make a byte address (reference/vta-hardware.md, section
  /// 3.1).
  enum Combination {
    case sum
    case or
  }

  /// Byte address of the first instruction.
  var instructions: UInt32
  var count: UInt32
  /// By the memory that an instruction names; ACC_8BIT uses that of ACC.
  var bases: [MemoryType: UInt32]
  var combination: Combination

  /// The same transfer with its base register in its own address.
  /// - Returns: `nil` if the base is no whole number of elements: no `dram_base` means that address.
  func rebased(_ transfer: Transfer, elementBytes: Int) -> Transfer? {
    let base = bases[transfer.memory == .acc8bit ? .acc : transfer.memory] ?? 0
    let size = UInt32(elementBytes)
    guard base % size == 0 else { return nil }
    var transfer = transfer
    switch combination {
    case .sum: transfer.dramBase = transfer.dramBase &+ base / size
    case .or: transfer.dramBase = (transfer.dramBase &* size | base) / size
    }
    return transfer
  }
}

/// The design that the fabric is configured as, executing programs.
struct Engine {
  let target: Target
  private var simulator: FunctionalSimulator

  init?(_ target: Target) {
    guard let simulator = try? FunctionalSimulator(target: target) else { return nil }
    self.target = target
    self.simulator = simulator
  }

  /// - Throws: ``Stall``: real hardware would stand still, or go astray.
  mutating func execute(_ launch: Launch, _ memory: SimulatedMemory) throws(Stall) -> ProgramStatistics {
    do {
      let address = try resident(launch, memory)
      try simulator.run(instructionAddress: address.first, count: Int(launch.count), memory: memory)
      return ProgramStatistics(address.instructions, target.configuration)
    } catch {
      throw Stall(reason: "\(error)")
    }
  }

  struct Stall: Error {
    let reason: String
  }

  /// The instructions as they are to be executed: those in memory, or a copy with the base registers in it.
  private func resident(
    _ launch: Launch, _ memory: SimulatedMemory
  ) throws -> (first: UInt64, instructions: [Instruction]) {
    let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    let bytes = Int(launch.count) * Limits.instructionBytes
    let words = try memory.withBytes(at: UInt64(launch.instructions), count: bytes) {
      InstructionWords.stream($0)
    }
    let instructions = try words.map { try set.decode($0) }
    if launch.bases.values.allSatisfy({ $0 == 0 }) { return (UInt64(launch.instructions), instructions) }
    let rebased = try instructions.map { try self.rebased($0, launch) }
    let copy = try memory.allocate(byteCount: UInt64(bytes))
    try memory.withMutableBytes(at: copy, count: bytes) { target in
      for (index, instruction) in rebased.enumerated() {
        let words = try set.encode(instruction)
        target.storeBytes(of: words.word0.littleEndian, toByteOffset: 16 * index, as: UInt64.self)
        target.storeBytes(of: words.word1.littleEndian, toByteOffset: 16 * index + 8, as: UInt64.self)
      }
    }
    return (copy, rebased)
  }

  private func rebased(_ instruction: Instruction, _ launch: Launch) throws -> Instruction {
    var result = instruction
    switch instruction.operation {
    case .load(let transfer): result.operation = .load(try rebased(transfer, launch, transfer.memory))
    // Hardware doesn't look at the type that a STORE names.
    case .store(let transfer): result.operation = .store(try rebased(transfer, launch, .out))
    case .gemm, .alu, .finish: break
    }
    return result
  }

  private func rebased(_ transfer: Transfer, _ launch: Launch, _ memory: MemoryType) throws -> Transfer {
    var typed = transfer
    typed.memory = memory
    guard
      var result = launch.rebased(typed, elementBytes: target.configuration.elementBytes(memory))
    else { throw Stall(reason: "the base register of \(memory) is no multiple of its element") }
    result.memory = transfer.memory
    return result
  }
}
