internal import VTA

/// The simulator as a device.
final class SimulatorBackend: DeviceBackend {
  /// About what boards set aside; keeps a small file from taking the host's memory.
  static let memoryBytesMax: UInt64 = 1 << 30

  let fixedTarget: Target?
  private let memory = SimulatedMemory()
  private var byteCounts: [DeviceAddress: UInt64] = [:]
  private var usedBytes: UInt64 = 0
  private var simulator: FunctionalSimulator?
  private var sealed: Set<DeviceAddress> = []
  /// By address of the instructions; programs that are missing run on the plain simulator.
  private var translations: [DeviceAddress: TranslatedProgram] = [:]
  private var fastSimulator: FastSimulator?
  private let options: SimulatorOptions
  private let team: WorkerTeam?

  /// - Throws: ``DeviceError/unsupportedTarget(target:reason:)``.
  init(target: Target?, _ options: SimulatorOptions = SimulatorOptions()) throws(DeviceError) {
    fixedTarget = target
    self.options = options
    team = options.kernels != nil && options.threads > 1 ? WorkerTeam(width: options.threads) : nil
    if let target { simulator = try Self.makeSimulator(target) }
  }

  func prepare(for target: Target) throws(DeviceError) {
    if let fixedTarget, !fixedTarget.accepts(target) {
      throw .wrongTarget(device: fixedTarget, module: target)
    }
    if let current = simulator?.target, current.accepts(target) { return }
    simulator = try Self.makeSimulator(target)
    fastSimulator = nil
  }

  func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress] {
    var arena: [DeviceAddress] = []
    do {
      for byteCount in byteCounts { arena.append(try allocate(byteCount)) }
      return arena
    } catch {
      free(arena)
      throw error
    }
  }

  private func allocate(_ byteCount: UInt64) throws(DeviceError) -> DeviceAddress {
    guard byteCount <= Self.memoryBytesMax - usedBytes else {
      throw .outOfMemory(
        requested: byteCount, reason: "\(usedBytes) of \(Self.memoryBytesMax) bytes are taken")
    }
    do throws(MemoryFault) {
      let address = DeviceAddress(try memory.allocate(byteCount: byteCount))
      byteCounts[address] = byteCount
      usedBytes += byteCount
      return address
    } catch {
      throw .outOfMemory(requested: byteCount, reason: "\(error)")
    }
  }

  func free(_ arena: [DeviceAddress]) {
    for address in arena { free(address) }
  }

  private func free(_ address: DeviceAddress) {
    guard let byteCount = byteCounts.removeValue(forKey: address) else { return }
    usedBytes -= byteCount
    sealed.remove(address)
    translations[address] = nil
    memory.free(address.rawValue)
  }

  func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError) {
    do {
      try memory.withMutableBytes(at: address.rawValue, count: bytes.count) { $0.copyBytes(from: bytes) }
    } catch {
      throw .badAccess(address: address, byteCount: UInt64(bytes.count), reason: "\(error)")
    }
  }

  func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8] {
    do {
      return try memory.withBytes(at: address.rawValue, count: byteCount) { Array($0) }
    } catch {
      throw .badAccess(address: address, byteCount: UInt64(max(byteCount, 0)), reason: "\(error)")
    }
  }

  func seal(_ address: DeviceAddress) { sealed.insert(address) }

  func adopt(program: DeviceAddress, _ words: [InstructionWords]) {
    guard let target = simulator?.target, let kernels = options.kernels else { return }
    let constants = sealed.compactMap { address in
      byteCounts[address].map { address.rawValue..<address.rawValue + $0 }
    }.sorted { $0.lowerBound < $1.lowerBound }
    translations[program] = ProgramTranslator.translate(
      instructionAddress: program.rawValue, count: words.count, target: target, memory: memory,
      kernels: kernels,
      isConstant: { range in
        let index = constants.partitioningIndex { $0.lowerBound > range.lowerBound }
        return index > 0 && range.upperBound <= constants[index - 1].upperBound
      })
  }

  func figures(of program: DeviceAddress) -> TranslatedProgram.Figures? { translations[program]?.figures }

  func taskTimes(of program: DeviceAddress) throws(DeviceError) -> [TaskTime] {
    guard let target = simulator?.target, let (program, simulator) = translation(of: program, for: target)
    else { return [] }
    do {
      return try simulator.taskTimes(program, memory: memory)
    } catch {
      throw .runFailed(reason: "\(error)")
    }
  }

  private func translation(
    of program: DeviceAddress, for target: Target
  ) -> (TranslatedProgram, FastSimulator)? {
    guard let program = translations[program], program.target.accepts(target) else { return nil }
    if fastSimulator == nil {
      fastSimulator = FastSimulator(target: target, kernels: program.kernels, executor: team)
    }
    return fastSimulator.map { (program, $0) }
  }

  /// The deadline is looked at between instructions.
  func run(
    instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
  ) throws(DeviceError) {
    guard let target = simulator?.target else { throw .runFailed(reason: "no target was prepared") }
    let shouldContinue = { deadline.map { ContinuousClock.now < $0 } ?? true }
    do {
      if let (program, simulator) = translation(of: instructions, for: target) {
        return try simulator.run(program, memory: memory, shouldContinue: shouldContinue)
      }
      try simulator?.run(
        instructionAddress: instructions.rawValue, count: Int(count), memory: memory,
        shouldContinue: shouldContinue)
    } catch SimulationError.stopped {
      throw .deadlineExceeded
    } catch {
      throw .runFailed(reason: "\(error)")
    }
  }

  /// Every run starts with fresh scratchpads and queues; there is nothing to bring back.
  func reset() throws(DeviceError) {}

  private static func makeSimulator(_ target: Target) throws(DeviceError) -> FunctionalSimulator {
    do throws(SimulationError) {
      return try FunctionalSimulator(target: target)
    } catch {
      throw .unsupportedTarget(target: target, reason: "\(error)")
    }
  }
}

extension [Range<UInt64>] {
  /// First index for which `isBehind` holds; it must hold for all after it.
  fileprivate func partitioningIndex(_ isBehind: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
