import Foundation
import SystemPackage
import Testing
import VTA
import VTAModule
import VTASimulatedBoard

@testable import VTARuntime

/// A board's FPGA configured anew while a device serves, and programs that are run once, over a simulated board.
@Suite struct LiveProgrammingTests {
  private static let sample: [Float] = [1, 2, 3, 4]

  private let board: SimulatedBoard
  private let worker: DeviceWorker
  private let first: Target
  private let second: Target

  init() throws {
    first = try #require(Target.named("ultra96"))
    second = try #require(Target.named("zcu102"))
    board = SimulatedBoard(try #require(Board.named("ultra96-v2")))
    var options = DeviceOptions()
    options.kernel = board
    options.requiresHardware = true
    worker = try DeviceWorker.open("auto", options)
  }

  private func known(_ target: Target, _ bitstream: Bitstream) -> KnownBitstream {
    KnownBitstream(
      digest: .sha256(bitstream.sha256), file: "test.bit", origin: "tests", byteCount: nil,
      boards: [board.board.name], hardwareVersion: "", target: target, registers: nil, clockMegahertz: nil)
  }

  private func program(_ target: Target) async throws -> DeviceDescription {
    let bitstream = try Bitstream(SimulatedBitstream.file(for: board.board, target: target))
    return try await worker.program(bitstream, as: known(target, bitstream))
  }

  private func expectRightAnswer(_ model: LoadedModel) async throws {
    let result = try await worker.run(model, inputs: ["x": Tensor(Self.sample, shape: [1, 2, 1, 2])])
    #expect(result.outputs[0].tensor.elements(as: Float.self) == TinyModule.expected(Self.sample))
  }

  @Test func anotherAcceleratorAndBack() async throws {
    let old = try await worker.load(try TinyModule.make(target: first))
    try await expectRightAnswer(old)
    let description = try await program(second)
    #expect(description.target == second && description.state == .ready)
    #expect(board.configuredTarget == second)
    // A model of the accelerator before is refused, and that is no failure of the device.
    await #expect(throws: DeviceError.wrongTarget(device: second, module: first)) {
      try await expectRightAnswer(old)
    }
    #expect(worker.description.faults == 0)
    try await expectRightAnswer(try await worker.load(try TinyModule.make(target: second)))
    _ = try await program(first)
    try await expectRightAnswer(old)
  }

  /// What can't be loaded leaves the device with what it was.
  @Test(arguments: ["write init", "write complete"]) func failures(state: String) async throws {
    let model = try await worker.load(try TinyModule.make(target: first))
    _ = try await program(first)
    board.inject(.load(state: "\(state) error", .ioError))
    await #expect(throws: DeviceError.self) { try await program(second) }
    #expect(worker.description.faults == 1 && worker.description.lastFault != nil)
    try await expectRightAnswer(model)
    #expect(worker.description.target == first && board.configuredTarget == first)
  }

  @Test func simulatorsHaveNoFPGA() async throws {
    let simulator = try DeviceWorker.open("sim")
    let bitstream = try Bitstream(SimulatedBitstream.file(for: board.board, target: first))
    await #expect(throws: DeviceError.self) {
      try await simulator.program(bitstream, as: known(first, bitstream))
    }
    #expect(simulator.description.state == .ready)
  }

  /// The tiny module's own program with its memory, as somebody else's compiler would send it.
  private func rawProgram(outputBytes: UInt64? = nil) throws -> (RawProgram, expected: [UInt8]) {
    let module = try TinyModule.make(target: first)
    let tile = first.configuration.elementBytes(.inp)
    var inputs = [UInt8](repeating: 0, count: 2 * tile)
    (inputs[0], inputs[1], inputs[tile], inputs[tile + 1]) = (1, 2, 3, 4)
    let buffers = module.regions.map { region -> RawProgram.Buffer in
      switch region.role {
      case .workspace:
        .init(
          name: region.name, role: .workspace, contents: inputs, byteCount: outputBytes ?? region.byteCount,
          isReturned: true)
      case .constant(let bytes):
        .init(
          name: region.name, role: .constant, contents: bytes, byteCount: region.byteCount, isReturned: false)
      case .microOps(let bytes):
        .init(
          name: region.name, role: .microOps, contents: bytes, byteCount: region.byteCount, isReturned: false)
      }
    }
    let program = try #require(module.programs.first)
    var outputs = [UInt8](repeating: 0, count: 2 * tile)
    // The first output channel is twice the first input, the second is the sum of both.
    (outputs[0], outputs[1], outputs[tile], outputs[tile + 1]) = (2, 3, 6, 7)
    return (
      try RawProgram(
        target: first, buffers: buffers, instructions: program.instructions, relocations: program.relocations),
      expected: outputs
    )
  }

  /// In spite of a failure: after the reset its memory is as it was.
  @Test(arguments: [false, true]) func rawPrograms(fails: Bool) async throws {
    _ = try await program(first)
    let (raw, expected) = try rawProgram()
    if fails { board.inject(.hang) }
    let result = try await worker.run(raw, deadline: nil)
    #expect(Array(result.buffers[0].contents[expected.count...].prefix(expected.count)) == expected)
    #expect(worker.description.recoveries == (fails ? 1 : 0))
  }

  /// Programs that nobody would run are no failures of the device, however often they come.
  @Test func refusedRawPrograms() async throws {
    let (raw, _) = try rawProgram(outputBytes: 48)
    for _ in 0..<5 {
      await #expect(throws: VTARuntime.RuntimeError.self) { try await worker.run(raw, deadline: nil) }
    }
    let huge = try RawProgram(
      target: first,
      buffers: [
        .init(name: "huge", role: .workspace, contents: [], byteCount: 1 << 32 - 1, isReturned: false)
      ], instructions: raw.module.programs[0].instructions, relocations: [])
    for _ in 0..<5 {
      await #expect(throws: DeviceError.self) { try await worker.run(huge, deadline: nil) }
    }
    #expect(worker.description.state == .ready && worker.description.faults == 0)
    #expect(throws: VTARuntime.RuntimeError.self) {
      try RawProgram(target: first, buffers: [], instructions: [], relocations: [])
    }
  }

  /// Layers of a program have times on the simulator, which sum up to about the whole; in hardware they have none.
  @Test func profiles() async throws {
    let simulator = try DeviceWorker.open("sim")
    var module = try TinyModule.make()
    module.layers = [
      Layer(name: "a", op: "Conv", place: .accelerator, why: "", program: 0, instructions: 0..<4),
      Layer(name: "b", op: "Conv", place: .accelerator, why: "", program: 0, instructions: 4..<7),
    ]
    let model = try await simulator.load(module)
    let inputs = ["x": Tensor(Self.sample, shape: [1, 2, 1, 2])]
    let result = try await simulator.run(model, inputs: inputs, wantsProfile: true)
    #expect(result.outputs[0].tensor.elements(as: Float.self) == TinyModule.expected(Self.sample))
    let profile = try #require(result.profile)
    #expect(
      profile.steps.map(\.isOnDevice) == module.steps.map { if case .program = $0 { true } else { false } })
    let layers = try #require(profile.steps.first { $0.isOnDevice }).layers
    #expect(layers.map(\.name) == ["a", "b"] && layers.map(\.instructions) == [4, 3])
    #expect(layers.allSatisfy { $0.duration != nil })
    #expect(try await simulator.run(model, inputs: inputs).profile == nil)
    var onBoard = try TinyModule.make(target: first)
    onBoard.layers = module.layers
    let profiled = try await worker.run(try await worker.load(onBoard), inputs: inputs, wantsProfile: true)
    let hardwareLayers = try #require(profiled.profile?.steps.first { $0.isOnDevice }).layers
    #expect(hardwareLayers.count == 2 && hardwareLayers.allSatisfy { $0.duration == nil })
  }
}
