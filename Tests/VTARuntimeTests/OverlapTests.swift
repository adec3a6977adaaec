import Glibc
import Synchronization
import Testing
import VTA
import VTAModule

@testable import VTARuntime

/// The host's steps of one request while another is on the device.
@Suite struct OverlapTests {
  /// The simulator, whose runs end when they are told to, and which notes what is asked of it.
  private final class HeldBackend: DeviceBackend, @unchecked Sendable {
    // SAFETY: the simulator is used on the device's thread alone; the rest is behind locks.
    private let simulator: SimulatorBackend
    let started = Semaphore()
    let mayEnd = Semaphore()
    let calls = Mutex<[String]>([])
    /// Of loading, and of each run.
    let threads = Mutex<[pthread_t]>([])

    init() throws { simulator = try SimulatorBackend(target: nil) }

    var fixedTarget: Target? { nil }

    func prepare(for target: Target) throws(DeviceError) { try simulator.prepare(for: target) }
    func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress] {
      threads.withLock { $0 = [pthread_self()] }
      return try simulator.allocate(byteCounts)
    }
    func free(_ arena: [DeviceAddress]) { simulator.free(arena) }
    func copyIn(_ bytes: [UInt8], to address: DeviceAddress) throws(DeviceError) {
      calls.withLock { $0.append("in") }
      try simulator.copyIn(bytes, to: address)
    }
    func copyOut(from address: DeviceAddress, byteCount: Int) throws(DeviceError) -> [UInt8] {
      calls.withLock { $0.append("out") }
      return try simulator.copyOut(from: address, byteCount: byteCount)
    }
    func seal(_ address: DeviceAddress) { simulator.seal(address) }
    func adopt(program: DeviceAddress, _ words: [InstructionWords]) {
      simulator.adopt(program: program, words)
    }
    func run(
      instructions: DeviceAddress, count: UInt32, deadline: ContinuousClock.Instant?
    ) throws(DeviceError) {
      calls.withLock { $0.append("run") }
      threads.withLock { $0.append(pthread_self()) }
      started.signal()
      mayEnd.wait()
      try simulator.run(instructions: instructions, count: count, deadline: deadline)
    }
    func reset() throws(DeviceError) { try simulator.reset() }
  }

  private let samples: [[Float]] = [[1, 2, 3, 4], [4, 3, 2, 1]]

  private func input(_ sample: [Float]) -> [String: Tensor] { ["x": Tensor(sample, shape: [1, 2, 1, 2])] }

  private func values(_ result: RunResult) -> [Float] { result.outputs[0].tensor.elements(as: Float.self) }

  /// Without a thread of the tests' own few: it would be missing where the run has to begin.
  private func started(_ backend: HeldBackend) async {
    await withCheckedContinuation { continuation in
      let code = startThread {
        backend.started.wait()
        continuation.resume()
      }
      #expect(code == 0)
    }
  }

  private func worker(of backend: HeldBackend) throws -> DeviceWorker {
    try DeviceWorker(
      { () throws(DeviceError) in
        DeviceName.Opened(
          description: DeviceDescription(name: "held", kind: .simulator, target: nil, note: nil),
          backend: backend)
      }, DeviceOptions())
  }

  /// Brief runs take place where they are called from, unless the device is busy.
  @Test func briefRunsNeedNoOtherThread() async throws {
    let backend = try HeldBackend()
    let worker = try worker(of: backend)
    let model = try await worker.load(try TinyModule.make())
    backend.mayEnd.signal()
    let alone = try await worker.run(model, inputs: input(samples[0]), isBrief: true)
    #expect(values(alone) == TinyModule.expected(samples[0]))
    await started(backend)

    let long = Task { try await worker.run(model, inputs: input(samples[0])) }
    await started(backend)
    let brief = Task { try await worker.run(model, inputs: input(samples[1]), isBrief: true) }
    backend.mayEnd.signal()
    _ = try await long.value
    backend.mayEnd.signal()
    #expect(values(try await brief.value) == TinyModule.expected(samples[1]))
    let threads = backend.threads.withLock { $0 }
    #expect(threads.count == 4 && threads[1] != threads[0] && threads[2] == threads[0])
    await worker.shutdown()
    await #expect(throws: DeviceError.closed) {
      try await worker.run(model, inputs: input(samples[0]), isBrief: true)
    }
  }

  @Test func hostStepsGoOnWhileTheDeviceRuns() async throws {
    let backend = try HeldBackend()
    let worker = try worker(of: backend)
    let module = try TinyModule.make()
    let model = try await worker.load(module)
    backend.calls.withLock { $0 = [] }

    let first = Task { try await worker.run(model, inputs: input(samples[0])) }
    await started(backend)
    // The device is busy. All that the host has to do before the second run is done meanwhile:
    let prepared = try worker.prepare(model, inputs: input(samples[1]))
    #expect(prepared.packedInputs == [try packed(samples[1], module)])
    let second = Task { try await worker.run(model, inputs: input(samples[1])) }
    backend.mayEnd.signal()
    // The first answer is there while the device has the second run.
    await started(backend)
    #expect(values(try await first.value) == TinyModule.expected(samples[0]))
    #expect(backend.calls.withLock { $0 } == ["in", "run", "out", "in", "run"])
    backend.mayEnd.signal()
    #expect(values(try await second.value) == TinyModule.expected(samples[1]))
    await worker.shutdown()
  }

  /// What the device gets for a sample.
  private func packed(_ sample: [Float], _ module: Module) throws -> [UInt8] {
    let steps = sample.map { Int8(($0 / TinyModule.inputScale).rounded(.toNearestOrEven)) }
    return module.deviceTensors[0].layout(module.target.configuration).pack(steps, samples: 1)
  }
}
