import Foundation
import Testing
import VTA
import VTACompiler
import VTAModule
import VTASimulatedBoard

@testable import VTARuntime

/// A device that must behave as every device does: the simulator, the driver above each simulated board, or a real board.
struct Subject: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let device: String
  /// Opened afresh for each test.
  let board: (@Sendable () throws -> SimulatedBoard)?
  let memory: MemoryChoice
  /// What its programs are compiled for.
  let target: Target

  /// A device of its own, and the board beneath it.
  struct Opened {
    let backend: any DeviceBackend
    let description: DeviceDescription
    let board: SimulatedBoard?
  }

  private init(
    _ name: String, device: String, target: Target, memory: MemoryChoice = .any,
    board: (@Sendable () throws -> SimulatedBoard)? = nil
  ) {
    testDescription = name
    self.device = device
    self.board = board
    self.memory = memory
    self.target = target
  }

  func options(_ board: SimulatedBoard?) -> DeviceOptions {
    var options = DeviceOptions()
    options.memory = memory
    if let board { options.kernel = board }
    return options
  }

  func open() throws -> Opened {
    let board = try board?()
    let opened = try DeviceName.resolve(device, options(board))()
    return Opened(backend: opened.backend, description: opened.description, board: board)
  }

  /// With a thread of its own, as the daemon has it.
  func worker() throws -> (worker: DeviceWorker, board: SimulatedBoard?) {
    let board = try board?()
    return (try DeviceWorker.open(device, options(board)), board)
  }

  /// Every name in the list is one way in which a board may be set up.
  private static func board(
    _ board: String, _ setUp: String, _ memory: MemoryChoice = .any,
    _ change: @escaping @Sendable (inout SimulatedBoard.Options) -> Void = { _ in }
  ) -> Subject? {
    guard let description = Board.named(board) else { return nil }
    return Subject(
      "\(board), \(setUp)", device: "auto", target: description.target, memory: memory
    ) {
      var options = SimulatedBoard.Options()
      change(&options)
      return SimulatedBoard(description, options)
    }
  }

  static let simulators = Target.named.map {
    Subject("simulator of \($0.name)", device: "sim:\($0.name)", target: $0)
  }

  static let boards: [Subject] =
    Board.all.compactMap { board($0.name, "as it comes") }
    + [
      board("ultra96-v2", "caches not coherent") { $0.isCoherent = false },
      board("ultra96-v2", "caches not coherent, u-dma-buf before 4.7") {
        ($0.isCoherent, $0.memory) = (false, [.oldUDMABuf(64 << 20)])
      },
      board("zcu102", "caches not coherent, reserved memory through UIO") {
        ($0.isCoherent, $0.memory) = (false, [.reserved(64 << 20)])
      },
      board("zcu104", "one UIO device, interrupt") { ($0.registers, $0.hasInterrupt) = (.uioMaps, true) },
      board("de10-nano", "interrupt") { $0.hasInterrupt = true },
      board("pynq-z2", "registers through /dev/mem") { $0.registers = .mem },
      board("pynq-z1", "no flag behind done") { $0.hasDoneFlag = false },
      board("de10-nano", "/dev/cma") { $0.memory = [.cmaDevice] },
      board("ultra96-v1", "dma-heap") { $0.memory = [.dmaHeap] },
      board("ultra96-v1", "huge pages", .named(kind: .hugePages, name: nil)) { $0.memory = [.hugePages] },
      board("zcu104", "reserved memory through /dev/mem", .named(kind: .reserved, name: nil)) {
        $0.memory = [.reserved(64 << 20)]
      },
    ].compactMap { $0 }

  /// A real board: `VTA_TEST_DEVICE=uio:vta swift test --filter Conformance`, with VTA_TEST_TARGET for what it is
  /// configured as.
  static let real: [Subject] = {
    let environment = ProcessInfo.processInfo.environment
    guard let device = environment["VTA_TEST_DEVICE"] else { return [] }
    guard let target = environment["VTA_TEST_TARGET"].flatMap(Target.named) else {
      Issue.record("VTA_TEST_DEVICE is set, but VTA_TEST_TARGET names no target")
      return []
    }
    return [Subject(device, device: device, target: target)]
  }()

  static let all = simulators + boards + real
}

/// Models compiled once for each target.
enum Models {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// The digits network, calibrated with noise: what its answers mean does not matter here.
  static func digits(_ target: Target) throws -> Module {
    let model = [UInt8](try Data(contentsOf: root.appending(path: "Examples/digits/digits.onnx")))
    var options = CompilerOptions(name: "digits", producer: "tests", target: target)
    options.calibration = { inputs in
      Dictionary(uniqueKeysWithValues: inputs.map { ($0.name, noise($0.shape, samples: 4, seed: 1)) })
    }
    return try Compiler.compile(model, modelDirectory: nil, options: options).module
  }

  /// One convolution, from Examples/assembly: small and quick.
  static func convolution(_ target: Target) throws -> Module {
    let text = try String(
      contentsOf: root.appending(path: "Examples/assembly/convolution.vtas"), encoding: .utf8)
    return try Assembler.module(from: text.replacing(".target sim", with: ".target \(target.name)"))
  }

  static func inputs(of module: Module, samples: Int, seed: UInt64) -> [String: Tensor] {
    Dictionary(
      uniqueKeysWithValues: module.inputs.map { ($0.name, noise($0.shape, samples: samples, seed: seed)) })
  }

  private static func noise(_ shape: [Int], samples: Int, seed: UInt64) -> Tensor {
    var random = SeededGenerator(seed: seed)
    let shape = [samples] + shape.dropFirst()
    return Tensor(
      (0..<shape.reduce(1, *)).map { _ in Float.random(in: -1...1, using: &random) }, shape: shape)
  }
}
