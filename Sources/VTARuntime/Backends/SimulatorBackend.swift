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

  /// - Throws: ``DeviceError/unsupportedTarget(target:reason:)``.
  init(target: Target?) throws(DeviceError) {
    fixedTarget = target
    if let target { simulator = try Self.makeSimulator(target) }
  }

  func prepare(for target: Target) throws(DeviceError) {
    if let fixedTarget, !fixedTarget.accepts(target) {
      throw .wrongTarget(device: fixedTarget, module: target)
    }
    if let current = simulator?.target, current.accepts(target) { return }
    simulator = try Self.makeSimulator(target)
  }

  func allocate(byteCount: UInt64) throws(DeviceError) -> DeviceAddress {
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

  func free(_ address: DeviceAddress) {
    guard let byteCount = byteCounts.removeValue(forKey: address) else { return }
    usedBytes -= byteCount
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

  /// The deadline is looked at between instructions.
  func run(
    instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
  ) throws(DeviceError) {
    guard simulator != nil else { throw .runFailed(reason: "no target was prepared") }
    do throws(SimulationError) {
      try simulator?.run(
        instructionAddress: instructions.rawValue, count: Int(count), memory: memory,
        shouldContinue: { deadline.map { ContinuousClock.now < $0 } ?? true })
    } catch {
      if case .stopped = error { throw .deadlineExceeded }
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

extension Target {
  /// Whether a module for `other` runs here: the board's name doesn't matter, what it can do does.
  fileprivate func accepts(_ other: Target) -> Bool {
    configuration == other.configuration && profile == other.profile
  }
}
