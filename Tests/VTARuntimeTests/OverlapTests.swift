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

    init() throws { simulator = try SimulatorBackend(target: nil) }

    var fixedTarget: Target? { nil }

    func prepare(for target: Target) throws(DeviceError) { try simulator.prepare(for: target) }
    func allocate(_ byteCounts: [UInt64]) throws(DeviceError) -> [DeviceAddress] {
      try simulator.allocate(byteCounts)
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
      started.signal()
      mayEnd.wait()
      try simulator.run(instructions: instructions, count: count, deadline: deadline)
    }
    func reset() throws(DeviceError) { try simulator.reset() }
  }

  private let samples: [[Float]] = [[1, 2, 3, 4], [4, 3, 2, 1]]

  private func input(_ sample: [Float]) -> [String: Tensor] { ["x": Tensor(sample, shape: [1, 2, 1, 2])] }

  private func values(_ result: RunResult) -> [Float] { result.outputs[0].tensor.elements(as: Float.self) }

  @Test func hostStepsGoOnWhileTheDeviceRuns() async throws {
    let backend = try HeldBackend()
    let worker = try DeviceWorker(
      { () throws(DeviceError) in
        DeviceName.Opened(
          description: DeviceDescription(name: "held", kind: .simulator, target: nil, note: nil),
          backend: backend)
      }, DeviceOptions())
    let module = try TinyModule.make()
    let model = try await worker.load(module)
    backend.calls.withLock { $0 = [] }

    let first = Task { try await worker.run(model, inputs: input(samples[0])) }
    backend.started.wait()
    // The device is busy. All that the host has to do before the second run is done meanwhile:
    let prepared = try worker.prepare(model, inputs: input(samples[1]))
    #expect(prepared.packedInputs == [try packed(samples[1], module)])
    let second = Task { try await worker.run(model, inputs: input(samples[1])) }
    backend.mayEnd.signal()
    // The first answer is there while the device has the second run.
    backend.started.wait()
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
