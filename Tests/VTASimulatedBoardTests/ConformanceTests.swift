import Testing
import VTA
import VTAModule
import VTASimulatedBoard

@testable import VTARuntime

/// What the runtime may rely on, whatever the device. An exception is written down with its reason, and tested too.
@Suite struct ConformanceTests {
  @Test(arguments: Subject.all) func arenas(subject: Subject) throws {
    let backend = try subject.open().backend
    let sizes: [UInt64] = [1, 4096, 5000, 65536]
    let first = try backend.allocate(sizes)
    let second = try backend.allocate([12345])
    var ranges: [Range<UInt64>] = []
    for (address, size) in zip(first + second, sizes + [12345]) {
      #expect(address.rawValue % Limits.regionAlignment == 0)
      #expect(address.rawValue != 0)
      let range = address.rawValue..<address.rawValue + size
      #expect(backend.window.contains(range.lowerBound) && range.upperBound <= backend.window.upperBound)
      #expect(ranges.allSatisfy { !$0.overlaps(range) })
      ranges.append(range)
      #expect(try backend.copyOut(from: address, byteCount: Int(size)).allSatisfy { $0 == 0 })
    }
    // Odd lengths at odd places, with neighbours untouched.
    var random = SeededGenerator(seed: 7)
    var mirror = [UInt8](repeating: 0, count: 65536)
    for _ in 0..<50 {
      let start = Int.random(in: 0..<65536, using: &random)
      let bytes = (0..<Int.random(in: 0...min(1000, 65536 - start), using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      try backend.copyIn(bytes, to: first[3].advanced(by: UInt64(start)))
      mirror.replaceSubrange(start..<start + bytes.count, with: bytes)
    }
    #expect(try backend.copyOut(from: first[3], byteCount: 65536) == mirror)
    #expect(try backend.copyOut(from: first[3].advanced(by: 777), byteCount: 99) == Array(mirror[777..<876]))
    backend.free(first)
    let again = try backend.allocate(sizes)
    #expect(try backend.copyOut(from: again[3], byteCount: 65536).allSatisfy { $0 == 0 }, "zeros again")
    #expect(try backend.copyOut(from: second[0], byteCount: 12345).allSatisfy { $0 == 0 })
  }

  @Test(arguments: Subject.all) func accessesOutsideArenasAreRefused(subject: Subject) throws {
    let backend = try subject.open().backend
    let arena = try backend.allocate([4096])
    for (address, byteCount) in [
      (DeviceAddress(0), 1), (arena[0], -1), (arena[0], .max), (arena[0].advanced(by: 4096), 1 << 30),
      (DeviceAddress(.max), 2),
    ] {
      #expect(throws: DeviceError.self) { try backend.copyOut(from: address, byteCount: byteCount) }
    }
    backend.free(arena)
    #expect(throws: DeviceError.self) { try backend.copyIn([1], to: arena[0]) }
    backend.free(arena)
  }

  @Test(arguments: Subject.all) func memoryRunsOutAndComesBack(subject: Subject) throws {
    let backend = try subject.open().backend
    #expect(throws: DeviceError.self) { try backend.allocate([1 << 40]) }
    #expect(throws: DeviceError.self) { try backend.allocate([UInt64.max, UInt64.max]) }
    let size: UInt64 = 24 << 20
    var arenas: [[DeviceAddress]] = []
    while arenas.count < 64, let arena = try? backend.allocate([size]) { arenas.append(arena) }
    #expect((1..<64).contains(arenas.count), "some, and not for ever")
    for arena in arenas { backend.free(arena) }
    for arena in try arenas.map({ _ in try backend.allocate([size]) }) { backend.free(arena) }
  }

  @Test(arguments: Subject.all) func modulesForOtherTargetsAreRefused(subject: Subject) throws {
    let backend = try subject.open().backend
    #expect(backend.fixedTarget == subject.target)
    try backend.prepare(for: subject.target)
    let other = try #require(Target.named.first { !$0.accepts(subject.target) })
    #expect(throws: DeviceError.wrongTarget(device: subject.target, module: other)) {
      try backend.prepare(for: other)
    }
  }

  /// Every tensor that stays on the device and every output, byte for byte what the plain simulator gives.
  @Test(arguments: Subject.all) func digits(subject: Subject) async throws {
    let module = try Models.digits(subject.target)
    let inputs = Models.inputs(of: module, samples: 3, seed: 5)
    let expected = try await Self.answer(of: "sim:\(subject.target.name)", DeviceOptions(), module, inputs)
    let (worker, board) = try subject.worker()
    let idle = board?.usage
    let model = try await worker.load(module)
    let found = try await worker.run(model, inputs: inputs, dumpTensors: true)
    Self.expectEqual(found, expected)
    // Once more: nothing of the first run is left where it matters.
    Self.expectEqual(try await worker.run(model, inputs: inputs, dumpTensors: true), expected)
    await worker.unload(model)
    #expect(board?.usage == idle)
    await worker.shutdown()
    #expect(board?.complaints ?? [] == [])
    #expect(Set(expected.outputs[0].tensor.bytes).count > 8, "answers differ")
  }

  /// Two models share the device, and each keeps its constants.
  @Test(arguments: Subject.all) func twoModels(subject: Subject) async throws {
    let module = try Models.convolution(subject.target)
    let device = "sim:\(subject.target.name)"
    let (worker, _) = try subject.worker()
    let (first, second) = (try await worker.load(module), try await worker.load(module))
    for seed in 1...3 as ClosedRange<UInt64> {
      let inputs = Models.inputs(of: module, samples: 2, seed: seed)
      let expected = try await Self.answer(of: device, DeviceOptions(), module, inputs)
      Self.expectEqual(try await worker.run(first, inputs: inputs, dumpTensors: true), expected)
      Self.expectEqual(try await worker.run(second, inputs: inputs, dumpTensors: true), expected)
    }
    await worker.unload(first)
    let inputs = Models.inputs(of: module, samples: 1, seed: 9)
    Self.expectEqual(
      try await worker.run(second, inputs: inputs, dumpTensors: true),
      try await Self.answer(of: device, DeviceOptions(), module, inputs))
    await worker.shutdown()
  }

  /// A deadline that has passed starts nothing, and harms nothing.
  @Test(arguments: Subject.all) func passedDeadlines(subject: Subject) async throws {
    let module = try Models.convolution(subject.target)
    let (worker, board) = try subject.worker()
    let model = try await worker.load(module)
    let before = board?.launchCount
    let inputs = Models.inputs(of: module, samples: 1, seed: 1)
    await #expect(throws: RuntimeError.self) {
      try await worker.run(model, inputs: inputs, deadline: .zero)
    }
    #expect(board?.launchCount == before)
    _ = try await worker.run(model, inputs: inputs)
    await worker.shutdown()
  }

  private static func answer(
    of device: String, _ options: DeviceOptions, _ module: Module, _ inputs: [String: Tensor]
  ) async throws -> RunResult {
    let worker = try DeviceWorker.open(device, options)
    let model = try await worker.load(module)
    let result = try await worker.run(model, inputs: inputs, dumpTensors: true)
    await worker.shutdown()
    return result
  }

  private static func expectEqual(_ found: RunResult, _ expected: RunResult) {
    #expect(found.outputs.map(\.name) == expected.outputs.map(\.name))
    for (found, expected) in zip(found.outputs, expected.outputs) {
      #expect(found.tensor.bytes == expected.tensor.bytes, "\(found.name)")
    }
    #expect(found.deviceTensors.keys.sorted() == expected.deviceTensors.keys.sorted())
    for (name, tensor) in expected.deviceTensors {
      #expect(found.deviceTensors[name]?.bytes == tensor.bytes, "\(name)")
    }
  }
}
