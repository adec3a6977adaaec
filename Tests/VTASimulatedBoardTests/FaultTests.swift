import Foundation
import SystemPackage
import Testing
import VTA
import VTAModule
import VTASimulatedBoard

@testable import VTARuntime

/// What goes wrong beneath the driver: what the client sees of it, what the device does about it, and that the next request
/// is answered rightly.
@Suite struct FaultTests {
  /// What one request came to.
  enum Outcome: Hashable {
    case rightAnswer
    case wrongAnswer
    case error(String)
  }

  /// A device with a model on it, above a board that can be configured again.
  final class Bench {
    let board: SimulatedBoard
    let worker: DeviceWorker
    private let model: LoadedModel
    private let inputs: [String: Tensor]
    private let expected: [UInt8]

    static func options(_ board: SimulatedBoard, bitstream: String?) -> DeviceOptions {
      var options = DeviceOptions()
      options.kernel = board
      options.requiresHardware = true
      options.bitstream = bitstream
      return options
    }

    init(_ name: String, _ change: (inout SimulatedBoard.Options) -> Void = { _ in }) async throws {
      let description = try Board.sample(name)
      var options = SimulatedBoard.Options()
      if description.configuration.family == .cycloneV { options.configuration = .overlays }
      change(&options)
      board = SimulatedBoard(description, options)
      let file = try BitstreamFile(description)
      worker = try DeviceWorker.open("auto", Self.options(board, bitstream: file.path))
      let module = try Models.convolution(description.target)
      inputs = Models.inputs(of: module, samples: 1, seed: 3)
      model = try await worker.load(module)
      let simulator = try DeviceWorker.open("sim:\(description.target.name)")
      let right = try await simulator.run(try await simulator.load(module), inputs: inputs)
      expected = right.outputs[0].tensor.bytes
      await simulator.shutdown()
    }

    func request() async -> Outcome {
      do {
        let result = try await worker.run(model, inputs: inputs)
        return result.outputs[0].tensor.bytes == expected ? .rightAnswer : .wrongAnswer
      } catch {
        return .error("\(error)")
      }
    }

    /// Shuts the device down. Its thread lets go of the last things just after it has said that it stops.
    func closesEverything() async -> Bool {
      await worker.shutdown()
      for _ in 0..<1000 where !isClosed { try? await Task.sleep(for: .milliseconds(1)) }
      return isClosed
    }

    private var isClosed: Bool {
      let usage = board.usage
      return usage.openFiles == 0 && usage.mappings == 0 && usage.registerMappings == 0
    }

    var state: DeviceState { worker.description.state }
    var recoveries: UInt64 { worker.description.recoveries }

    /// How often the FPGA came up since the record was cleared.
    var configurations: Int {
      board.events.count { if case .configured = $0 { true } else { false } }
    }
  }

  /// A simulated board's bitstream in a file of this machine, as the daemon is given one.
  final class BitstreamFile {
    let path: String

    init(_ board: Board, idcode: UInt32? = nil, part: String? = nil) throws {
      let suffix = board.configuration.family == .cycloneV ? "rbf" : "bit"
      path = FileManager.default.temporaryDirectory.appending(path: "vta-\(UUID().uuidString).\(suffix)").path
      try Data(SimulatedBitstream.file(for: board, target: board.target, idcode: idcode, part: part))
        .write(to: URL(filePath: path))
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  static let boards = ["ultra96-v2", "pynq-z1", "de10-nano"]

  /// The accelerator fails in one run: the client sees nothing of it, the device has been configured again.
  @Test(arguments: boards, [Fault.hang, .startLost, .doneMissing, .registersAllOnes])
  func oneFailedRun(name: String, fault: Fault) async throws {
    let bench = try await Bench(name)
    #expect(await bench.request() == .rightAnswer)
    bench.board.clearRecord()
    bench.board.inject(fault)
    #expect(await bench.request() == .rightAnswer)
    #expect(bench.configurations == 1)
    #expect(bench.recoveries == 1 && bench.state == .ready)
    #expect(await bench.request() == .rightAnswer)
    #expect(bench.recoveries == 1)
    #expect(bench.board.complaints == [])
    await bench.worker.shutdown()
  }

  /// `done` is that of the run before for a while. Nobody believes it.
  @Test(arguments: boards, [Fault.doneStale(.microseconds(3)), .doneStale(.milliseconds(4))])
  func doneTooEarly(name: String, fault: Fault) async throws {
    let bench = try await Bench(name)
    #expect(await bench.request() == .rightAnswer)
    for _ in 0..<3 {
      bench.board.inject(fault)
      #expect(await bench.request() == .rightAnswer)
    }
    #expect(await bench.request() == .rightAnswer)
    #expect(bench.recoveries == 0 && bench.state == .ready, "nothing was broken")
    await bench.worker.shutdown()
  }

  /// The done bit, and its flag with it, sticks at 1 in the middle of a run. It was not seen off in this run, so it is not
  /// believed before the longest time is over that the program can take.
  @Test(arguments: boards) func aStuckDoneBit(name: String) async throws {
    let bench = try await Bench(name)
    #expect(await bench.request() == .rightAnswer)
    bench.board.inject(.doneStuck)
    for _ in 0..<3 { #expect(await bench.request() == .rightAnswer) }
    #expect(bench.state == .ready)
    await bench.worker.shutdown()
  }

  /// Every run fails: an error that says what the registers said; out of service after the third; nothing runs then.
  @Test(arguments: boards) func everyRunFails(name: String) async throws {
    let bench = try await Bench(name)
    bench.board.inject(.hang, times: .max)
    for _ in 0..<3 {
      guard case .error = await bench.request() else {
        Issue.record("an answer from a device that hangs")
        return
      }
    }
    guard case .outOfService(let reason) = bench.state else {
      Issue.record("\(bench.state)")
      return
    }
    #expect(reason.contains("0x"), "registers: \(reason)")
    bench.board.clearFaults()
    let launches = bench.board.launchCount
    #expect(await bench.request() != .rightAnswer)
    #expect(bench.board.launchCount == launches)
    #expect(await bench.closesEverything())
  }

  /// The FPGA manager gives up in each of its states while the device recovers. The client gets an error that names the
  /// state; the next request recovers and is answered.
  @Test(arguments: ["firmware request", "write init", "write", "write complete"])
  func theManagerFails(state: String) async throws {
    for name in ["ultra96-v2", "pynq-z1", "de10-nano"] {
      let bench = try await Bench(name)
      bench.board.inject(.hang)
      bench.board.inject(.load(state: "\(state) error", .ioError))
      guard case .error(let message) = await bench.request() else {
        Issue.record("an answer although the FPGA was not configured")
        return
      }
      #expect(message.contains("\(state) error"), "\(message)")
      guard case .recovering = bench.state else {
        Issue.record("\(bench.state)")
        return
      }
      #expect(await bench.request() == .rightAnswer)
      #expect(bench.state == .ready)
      #expect(bench.board.complaints == [])
      await bench.worker.shutdown()
    }
  }

  /// Somebody else holds the contiguous memory that ZynqMP's driver needs to configure the FPGA.
  @Test func noMemoryToConfigureWith() async throws {
    let bench = try await Bench("ultra96-v2")
    var other = bench.board.takeFromPool(bench.board.poolFreeBytes)
    #expect(other != nil && bench.board.poolFreeBytes == 0)
    bench.board.inject(.hang)
    guard case .error(let message) = await bench.request() else {
      Issue.record("an answer although the FPGA was not configured")
      return
    }
    #expect(message.lowercased().contains("memory"), "\(message)")
    other = nil
    #expect(await bench.request() == .rightAnswer)
    await bench.worker.shutdown()
  }

  /// A device node disappears in the middle of a run, and comes back later.
  @Test(arguments: [("ultra96-v2", "/dev/uio2"), ("de10-nano", "/dev/uio0")])
  func aNodeVanishes(name: String, node: String) async throws {
    let bench = try await Bench(name)
    // Not to be used instead.
    bench.board.remove("/dev/mem")
    bench.board.inject(.nodeVanishes(node))
    let outcome = await bench.request()
    guard case .error(let message) = outcome else {
      Issue.record("\(outcome) through a device that is gone")
      return
    }
    #expect(message.contains("uio"), "\(message)")
    bench.board.restore(node)
    #expect(await bench.request() == .rightAnswer)
    #expect(bench.state == .ready)
    #expect(await bench.closesEverything())
  }

  /// The fabric holds another accelerator than the one that was configured: the self-test sees it.
  @Test(arguments: [("ultra96-v2", "zcu102"), ("zcu102", "ultra96"), ("de10-nano", "zcu102")])
  func anotherAccelerator(name: String, loaded: String) throws {
    var options = SimulatedBoard.Options()
    let target: Target = try #require(Target.named(loaded))
    options.loaded = target
    let board = SimulatedBoard(try .sample(name), options)
    let error = #expect(throws: DeviceError.self) {
      try DeviceWorker.open("auto", Bench.options(board, bitstream: nil))
    }
    #expect(error.map { "\($0)" }?.isEmpty == false)
    #expect(board.usage.openFiles == 0 && board.usage.registerMappings == 0)
  }

  /// A file for another part is refused before the FPGA is touched.
  @Test func aBitstreamForAnotherPart() throws {
    let board = SimulatedBoard(try .sample("ultra96-v2"))
    let file = try BitstreamFile(try .sample("ultra96-v2"), part: "xczu9eg-ffvb1156")
    let error = #expect(throws: DeviceError.self) {
      try DeviceWorker.open("auto", Bench.options(board, bitstream: file.path))
    }
    #expect(error?.description.contains("xczu9eg") == true, "\(error.debugDescription)")
    #expect(board.configuredTarget == board.board.target, "still what it was")
    #expect(!board.events.contains(.managerState("write")))
  }

  // MARK: Every step

  /// Each kernel call of opening a device, loading a model and running it fails once, one after the other. Nothing stays
  /// open, mapped or taken, and a second attempt works.
  @Test(arguments: [
    ("ultra96-v2", SimulatedBoard.Options.MemorySource.udmabuf(64 << 20)), ("ultra96-v2", .dmaHeap),
    ("ultra96-v2", .hugePages), ("de10-nano", .cmaDevice), ("zcu102", .reserved(64 << 20)),
  ])
  func everyCallFailsOnce(name: String, memory: SimulatedBoard.Options.MemorySource) async throws {
    let description = try Board.sample(name)
    var options = SimulatedBoard.Options()
    options.memory = [memory]
    options.isCoherent = memory == .reserved(64 << 20) ? false : true
    if description.configuration.family == .cycloneV { options.configuration = .overlays }
    let board = SimulatedBoard(description, options)
    let file = try BitstreamFile(description)
    let module = try Models.convolution(description.target)
    let inputs = Models.inputs(of: module, samples: 1, seed: 3)
    let idle = board.usage

    func attempt() async -> Outcome {
      do {
        var options = Bench.options(board, bitstream: file.path)
        if memory == .hugePages { options.memory = .named(kind: .hugePages, name: nil) }
        let worker = try DeviceWorker.open("auto", options)
        let model = try await worker.load(module)
        let result = try await worker.run(model, inputs: inputs)
        await worker.shutdown()
        return result.outputs[0].tensor.bytes.isEmpty ? .wrongAnswer : .rightAnswer
      } catch {
        return .error("\(error)")
      }
    }

    var errors = 0
    var step = 0
    while true {
      board.inject(.anyCall(.noMemory), after: step)
      let outcome = await attempt()
      let wasReached = !board.hasPlannedFaults
      board.clearFaults()
      #expect(outcome != .wrongAnswer)
      if case .error(let message) = outcome {
        errors += 1
        #expect(!message.isEmpty && !message.contains("\n"), "\(message)")
      }
      #expect(await settled(board, idle) == idle, "step \(step): \(outcome)")
      guard wasReached else { break }
      step += 1
      // Past the first hundred the calls repeat themselves.
      if step > 100 { step += step / 16 }
    }
    #expect(errors >= 3 && step >= 10, "\(errors) errors in \(step) steps")
    #expect(await attempt() == .rightAnswer)
    #expect(board.complaints == [])
  }

  /// The usage once the device's thread has ended, which closes what it holds.
  private func settled(_ board: SimulatedBoard, _ idle: SimulatedBoard.Usage) async -> SimulatedBoard.Usage {
    for _ in 0..<1000 where board.usage != idle { try? await Task.sleep(for: .milliseconds(1)) }
    return board.usage
  }

  // MARK: Many

  /// 1,000 requests with seeded faults under each: right answers or errors, never wrong ones; and in the end the process
  /// holds what it held before. In a process of its own, since threads and descriptors are counted.
  @Test func aThousandFaultsLeakNothing() async {
    await #expect(processExitsWith: .success) {
      for name in ["ultra96-v2", "de10-nano"] {
        if let complaint = try await FaultTests.campaign(name, rounds: 500) {
          try FileHandle.standardError.write(contentsOf: Data("\(name): \(complaint)\n".utf8))
          exit(EXIT_FAILURE)
        }
      }
    }
  }

  /// - Returns: what is wrong; `nil`: nothing.
  static func campaign(_ name: String, rounds: Int) async throws -> String? {
    let bench = try await Bench(name) { $0.isRecording = false }
    var random = SeededGenerator(seed: 2026)
    var (right, errors) = (0, 0)
    var before: Process?
    var held: SimulatedBoard.Usage?
    for round in 0..<rounds {
      // The first hundred warm up whatever is allocated once.
      if round == 100 { (before, held) = (try Process(), bench.board.usage) }
      injectOne(into: bench.board, &random)
      let outcome = await bench.request()
      switch outcome {
      case .rightAnswer: right += 1
      case .error: errors += 1
      case .wrongAnswer: return "round \(round): a wrong answer"
      }
      bench.board.clearFaults()
      var next = await bench.request()
      if case .error = next { next = await bench.request() }
      if next != .rightAnswer { return "round \(round): after \(outcome) came \(next)" }
    }
    if let before, let held {
      let after = try Process()
      if bench.board.usage != held { return "\(bench.board.usage) after \(held)" }
      if after.threads > before.threads + 1 || after.descriptors != before.descriptors
        || after.residentBytes > before.residentBytes + 64 << 20
      {
        return "\(after) after \(before)"
      }
    }
    if !bench.board.complaints.isEmpty { return "\(bench.board.complaints)" }
    if right < rounds / 5 || errors < rounds / 20 { return "\(right) answers and \(errors) errors" }
    return await bench.closesEverything() ? nil : "something is still open: \(bench.board.usage)"
  }

  static func injectOne(into board: SimulatedBoard, _ random: inout SeededGenerator) {
    let run: [Fault] = [
      .hang, .startLost, .doneMissing, .registersAllOnes, .doneStale(.microseconds(200)),
    ]
    switch Int.random(in: 0..<10, using: &random) {
    case 0..<5: if let fault = run.randomElement(using: &random) { board.inject(fault) }
    case 5: board.inject(.hang, times: 2)
    case 6:
      board.inject(.anyCall(.noMemory), after: Int.random(in: 0..<4, using: &random))
    case 7:
      board.inject(.hang)
      board.inject(.anyCall(.ioError), after: Int.random(in: 0..<60, using: &random))
    default:
      let states = ["firmware request", "write init", "write", "write complete"]
      board.inject(.hang)
      if let state = states.randomElement(using: &random) {
        board.inject(.load(state: "\(state) error", .timedOut))
      }
    }
  }

  /// What this process holds, as Linux counts it.
  struct Process: CustomStringConvertible {
    let threads: Int
    let descriptors: Int
    let residentBytes: Int

    init() throws {
      let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
      func number(_ key: String) -> Int {
        let line = status.split(separator: "\n").first { $0.hasPrefix(key) }
        return line?.split { !$0.isNumber }.first.flatMap { Int($0) } ?? 0
      }
      threads = number("Threads:")
      residentBytes = number("VmRSS:") << 10
      descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    }

    var description: String { "\(threads) threads, \(descriptors) descriptors, \(residentBytes) bytes" }
  }
}
