import Testing
import VTA
import VTAModule

@testable import VTARuntime

@Suite struct DeviceWorkerTests {
  /// `count` samples that differ from each other.
  private func samples(_ count: Int, from first: Int = 0) -> [[Float]] {
    (first..<(first + count)).map { index in (0..<4).map { Float(index % 7 - 3) + Float($0) * 1.5 } }
  }

  private func input(_ samples: [[Float]]) -> [String: Tensor] {
    ["x": Tensor(samples.flatMap { $0 }, shape: [samples.count, 2, 1, 2])]
  }

  private func values(_ result: RunResult) -> [Float] { result.outputs[0].tensor.elements(as: Float.self) }

  @Test(arguments: [0, 1, 2], [1, 2, 5]) func stacksSamples(logBatch: Int, count: Int) async throws {
    let worker = try DeviceWorker.open("sim")
    let model = try await worker.load(try TinyModule.make(target: .sim(logBatch: logBatch)))
    let samples = samples(count)
    let result = try await worker.run(model, inputs: input(samples), dumpTensors: true)
    #expect(result.outputs.map(\.name) == ["y"])
    #expect(result.outputs[0].tensor.shape == [count, 4])
    #expect(values(result) == samples.flatMap(TinyModule.expected))
    let quantized = try #require(result.deviceTensors["x_q"])
    #expect(quantized.shape == [count, 2, 1, 2])
    // The samples are multiples of the scale.
    let steps: [Int8] = samples.flatMap { $0 }.map { Int8(($0 / TinyModule.inputScale).rounded()) }
    #expect(quantized.elements(as: Int8.self) == steps)
    #expect(result.deviceTensors.keys.sorted() == ["x_q", "y_q"])
    await worker.shutdown()
  }

  /// Workspaces keep their contents between runs; nothing of an earlier request may be left where a later one can see
  /// it.
  @Test func laterRunsSeeNothingOfEarlierOnes() throws {
    let module = try TinyModule.make(target: .sim(logBatch: 1))
    let backend = try SimulatorBackend(target: nil)
    let model = try ModelLoader(backend: backend).load(module, identifier: 1)
    func run(_ samples: [[Float]]) throws -> RunResult {
      let request = RunRequest(
        model: 1, name: "tiny", inputs: input(samples), samples: samples.count, deadline: nil,
        dumpTensors: false, wantsProfile: false, cancellation: Cancellation())
      var run = ModelRun(request: request, module: module, hostShapes: module.hostShapes)
      run.prepare()
      try run.run(model, on: backend)
      return run.result()
    }
    let alone = try run(samples(1))
    let clean = try backend.copyOut(
      from: model.regions[0], byteCount: Int(module.regions[0].byteCount))
    _ = try run(samples(2, from: 3))
    let again = try run(samples(1))
    #expect(values(alone) == values(again))
    let after = try backend.copyOut(
      from: model.regions[0], byteCount: Int(module.regions[0].byteCount))
    #expect(after == clean, "the rows of samples that are not there are zero")
  }

  @Test func concurrentCallersGetTheirOwnAnswers() async throws {
    let worker = try DeviceWorker.open("sim:sim")
    let model = try await worker.load(try TinyModule.make())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for client in 0..<64 {
        group.addTask {
          let samples = samples(1 + client % 3, from: client)
          let result = try await worker.run(model, inputs: input(samples))
          #expect(values(result) == samples.flatMap(TinyModule.expected))
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func unfitInputsAreRefusedWithTheirName() async throws {
    let worker = try DeviceWorker.open("sim")
    let model = try await worker.load(try TinyModule.make())
    let good = Tensor([Float](repeating: 0, count: 4), shape: [1, 2, 1, 2])
    let cases: [([String: Tensor], RuntimeError)] = [
      (["x": good, "z": good], .unknownInput(name: "z", known: ["x"])),
      ([:], .missingInput(name: "x")),
      (
        ["x": Tensor([Int8](repeating: 0, count: 4), shape: [1, 2, 1, 2])],
        .wrongDataType(input: "x", expected: .fp32, found: .int8)
      ),
      (
        ["x": Tensor([0, 0, 0, 0] as [Float], shape: [1, 4])],
        .wrongShape(input: "x", expected: [1, 2, 1, 2], found: [1, 4])
      ),
      (
        ["x": Tensor([] as [Float], shape: [0, 2, 1, 2])],
        .wrongShape(input: "x", expected: [1, 2, 1, 2], found: [0, 2, 1, 2])
      ),
    ]
    for (inputs, error) in cases {
      await #expect(throws: error) { try await worker.run(model, inputs: inputs) }
    }
  }

  @Test func lateRequestsAreRefusedAndTheDeviceGoesOn() async throws {
    let worker = try DeviceWorker.open("sim")
    let model = try await worker.load(try TinyModule.make())
    await #expect(throws: RuntimeError.deadlineExceeded) {
      try await worker.run(model, inputs: input(samples(1)), deadline: .zero)
    }
    let cancelled = Task { try await worker.run(model, inputs: input(samples(60000))) }
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(
      values(try await worker.run(model, inputs: input(samples(1)))) == TinyModule.expected(samples(1)[0]))
  }

  @Test func programsAreCheckedBeforeTheyRun() async throws {
    let worker = try DeviceWorker.open("sim")
    var outside = try TinyModule.make()
    outside.programs[0].relocations.removeLast()
    for module in [try TinyModule.make(finish: false), try TinyModule.make(extraWait: true), outside] {
      let error = await #expect(throws: RuntimeError.self) { try await worker.load(module) }
      guard case .programRefused = error else {
        Issue.record("\(error.debugDescription)")
        continue
      }
      #expect(!ModuleVerification.findings(in: module).isEmpty)
    }
    #expect(ModuleVerification.findings(in: try TinyModule.make()).isEmpty)
  }

  /// dram_base counts elements: an address between two of them would become that of the first.
  @Test func addressesBetweenElementsAreRefused() throws {
    let module = try TinyModule.make()
    let element = UInt64(module.target.configuration.elementBytes(.inp))
    func patch(at address: UInt64) throws -> [InstructionWords] {
      try ProgramPatch.words(
        of: module.programs[0], target: module.target,
        regions: [DeviceAddress(address), DeviceAddress(1 << 16), DeviceAddress(1 << 20)])
    }
    #expect(try patch(at: 3 * element).count == 7)
    let error = #expect(throws: ProgramPatch.PatchError.self) { try patch(at: 3 * element + 4) }
    #expect(error?.description.contains("multiple of the \(element) bytes of one inp element") == true)
    #expect(throws: ProgramPatch.PatchError.self) { try patch(at: 1 << 32) }
  }

  @Test func memoryComesBack() async throws {
    let worker = try DeviceWorker.open("sim")
    var large = try TinyModule.make()
    large.regions[0].byteCount = SimulatorBackend.memoryBytesMax / 2 + 4096
    for _ in 0..<2 {
      let model = try await worker.load(large)
      #expect(model.memoryByteCount > large.regions[0].byteCount)
      await #expect(throws: DeviceError.self) { try await worker.load(large) }
      await worker.unload(model)
      await #expect(throws: RuntimeError.modelUnloaded(name: "tiny")) {
        try await worker.run(model, inputs: input(samples(1)))
      }
      // Dropping the last reference is enough too.
      _ = try await worker.load(large)
    }
  }

  @Test func namesOfDevices() async throws {
    let auto = try DeviceWorker.open("auto").description
    #expect(auto.name == "sim" && auto.kind == .simulator && auto.target == nil && auto.note != nil)
    for name in ["", "simulator", "sim:", "sim:nowhere", "sim:missing.json", "uio:vta0"] {
      #expect(throws: DeviceError.self) { try DeviceWorker.open(name) }
    }
    for target in Target.named {
      #expect(try DeviceWorker.open("sim:\(target.name)").description.target == target)
    }
  }

  @Test func fixedDevicesRefuseOtherTargets() async throws {
    let fixed = try DeviceWorker.open("sim:ultra96")
    let module = try TinyModule.make()
    await #expect(throws: DeviceError.self) { try await fixed.load(module) }
    _ = try await fixed.load(try TinyModule.make(target: try #require(Target.named("ultra96"))))
    await fixed.shutdown()
    #expect(fixed.description.state == .closed)
    await #expect(throws: DeviceError.closed) { try await fixed.load(module) }
  }
}
