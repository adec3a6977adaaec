import Foundation
import Testing
import VTA
import VTAModule
import VTASimulatedBoard

@testable import VTARuntime

/// What becomes of requests and devices when the accelerator fails, over a simulated board.
@Suite struct RecoveryTests {
  private static let target = Target.named.first { $0.name == "ultra96" } ?? .sim

  /// A device on a board that can be configured again, with a model on it.
  private final class Bench {
    let board: SimulatedBoard
    let worker: DeviceWorker
    let model: LoadedModel
    private let bitstream: URL?

    init(canProgram: Bool = true, onFailure: DeviceOptions.OnFailure = .error) async throws {
      let description = try #require(Board.named("ultra96-v2"))
      board = SimulatedBoard(description)
      var options = DeviceOptions()
      options.kernel = board
      options.onFailure = onFailure
      options.requiresHardware = true
      if canProgram {
        let file = FileManager.default.temporaryDirectory.appending(path: "vta-\(UUID().uuidString).bit")
        try Data(SimulatedBitstream.file(for: description, target: RecoveryTests.target)).write(to: file)
        options.bitstream = file.path
        bitstream = file
      } else {
        bitstream = nil
      }
      worker = try DeviceWorker.open("auto", options)
      model = try await worker.load(try TinyModule.make(target: RecoveryTests.target))
    }

    deinit {
      if let bitstream { try? FileManager.default.removeItem(at: bitstream) }
    }

    func run() async throws -> RunResult {
      try await worker.run(model, inputs: ["x": Tensor([1, 2, 3, 4] as [Float], shape: [1, 2, 1, 2])])
    }

    func expectRightAnswer() async throws {
      let result = try await run()
      #expect(result.outputs[0].tensor.elements(as: Float.self) == TinyModule.expected([1, 2, 3, 4]))
    }
  }

  @Test func statesAndTheirOrder() {
    let states: [DeviceState] = [.ready, .recovering("a"), .outOfService("b"), .closed]
    let allowed = states.map { from in states.map { from.canBecome($0) } }
    #expect(
      allowed == [
        [false, true, false, true], [true, true, true, true], [false, false, false, true],
        [false, false, false, false],
      ])
  }

  @Test(arguments: [Fault.hang, .doneMissing, .registersAllOnes])
  func aFailedRunIsTriedAgain(fault: Fault) async throws {
    let bench = try await Bench()
    try await bench.expectRightAnswer()
    bench.board.inject(fault)
    try await bench.expectRightAnswer()
    #expect(bench.worker.description.state == .ready && bench.worker.description.recoveries == 1)
    try await bench.expectRightAnswer()
    #expect(bench.board.complaints == [])
  }

  @Test func afterTwoFailuresAnErrorAndThenTheNextRequestWorks() async throws {
    let bench = try await Bench()
    // The second is met by the self-test after the reset.
    bench.board.inject(.hang, times: 2)
    let error = await #expect(throws: DeviceError.self) { try await bench.run() }
    guard case .stalled(let report) = error else {
      Issue.record("\(error.debugDescription)")
      return
    }
    #expect(report.registers.contains { $0.register == "fetch.insn_count" })
    #expect(!report.standing.isEmpty)
    try await bench.expectRightAnswer()
  }

  @Test func repeatedFailureTakesTheDeviceOutOfService() async throws {
    let bench = try await Bench()
    bench.board.inject(.hang, times: .max)
    for _ in 0..<3 { await #expect(throws: DeviceError.self) { try await bench.run() } }
    guard case .outOfService = bench.worker.description.state else {
      Issue.record("\(bench.worker.description.state)")
      return
    }
    #expect(!bench.worker.description.isServing)
    let launches = bench.board.launchCount
    await #expect(throws: DeviceError.self) { try await bench.run() }
    await #expect(throws: DeviceError.self) {
      try await bench.worker.load(try TinyModule.make(target: Self.target))
    }
    #expect(bench.board.launchCount == launches, "nothing touches it any more")
  }

  @Test func theSimulatorAnswersIfConfigured() async throws {
    let bench = try await Bench(onFailure: .simulator)
    #expect(try await bench.run().fallback == nil)
    bench.board.inject(.hang, times: .max)
    for _ in 0..<4 {
      #expect(try await bench.run().fallback != nil, "its answer says so")
      try await bench.expectRightAnswer()
    }
    #expect(bench.worker.description.isServing)
  }

  /// Without a bitstream nothing stops a run that hangs, and nothing else is started meanwhile.
  @Test func withoutABitstreamAHangIsTheEnd() async throws {
    let bench = try await Bench(canProgram: false)
    bench.board.inject(.hang)
    for _ in 0..<3 { await #expect(throws: DeviceError.self) { try await bench.run() } }
    #expect(!bench.worker.description.isServing)
    #expect(bench.board.complaints == [])
  }
}
