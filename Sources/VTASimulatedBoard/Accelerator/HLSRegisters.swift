internal import VTA

/// Four blocks, one per module, as Vivado HLS makes them (reference/vta-hardware.md, section 5.1).
final class HLSRegisters: Accelerator.Registers {
  private enum Block: Int {
    case fetch
    case load
    case compute
    case store
  }

  /// Bits of the control register at offset 0.
  private enum Control {
    static let start: UInt32 = 1
    static let done: UInt32 = 1 << 1
    static let idle: UInt32 = 1 << 2
    static let ready: UInt32 = 1 << 3
    static let autoRestart: UInt32 = 1 << 7
  }

  private enum Offset {
    static let control = 0x00
    static let interruptEnable = 0x04
    static let interruptMask = 0x08
    static let interruptStatus = 0x0C
    static let done = 0x18
    static let doneValid = 0x1C
  }

  /// Registers that hold what was written, by block.
  private static let arguments: [Set<Int>] = [
    [0x04, 0x08, 0x10, 0x18], [0x04, 0x08, 0x10, 0x18], [0x04, 0x08, 0x10, 0x20, 0x28], [0x04, 0x08, 0x10],
  ]

  let blockNames = ["fetch", "load", "compute", "store"]
  private let launch: (Launch) -> Void
  private var written: [[Int: UInt32]] = Array(repeating: [:], count: 4)
  /// Load, compute and store take instructions; once started with auto-restart they never stop.
  private var isStarted = [false, false, false, false]
  /// Fetch has work; stays set if the modules never take it.
  private var isFetching = false
  private var isFetchPending = false
  private var isFetchDone = false
  private var done: UInt32 = 0
  private var isDoneValid = false
  var isDoneStuck = false
  private let hasDoneFlag: Bool

  init(hasDoneFlag: Bool, launch: @escaping (Launch) -> Void) {
    self.hasDoneFlag = hasDoneFlag
    self.launch = launch
  }

  func reset() {
    written = Array(repeating: [:], count: 4)
    isStarted = [false, false, false, false]
    (isFetching, isFetchPending, isFetchDone) = (false, false, false)
    (done, isDoneValid) = (0, false)
  }

  func value(_ block: Int, _ offset: Int) -> UInt32 {
    switch (Block(rawValue: block), offset) {
    case (.fetch, Offset.control):
      (isFetching ? Control.start : Control.idle) | (isFetchDone ? Control.done | Control.ready : 0)
    case (_, Offset.control):
      isStarted[block] ? Control.start | Control.autoRestart : Control.idle
    case (.compute, Offset.done): isDoneStuck ? 1 : done
    case (.compute, Offset.doneValid): hasDoneFlag && (isDoneValid || isDoneStuck) ? 1 : 0
    default: written[block][offset] ?? 0
    }
  }

  func wasRead(_ block: Int, _ offset: Int) {
    switch (Block(rawValue: block), offset) {
    case (.fetch, Offset.control): isFetchDone = false
    case (.compute, Offset.doneValid): isDoneValid = false
    default: break
    }
  }

  func write(_ block: Int, _ offset: Int, _ value: UInt32) {
    switch (Block(rawValue: block), offset) {
    case (.fetch, Offset.control):
      guard value & Control.start != 0 else { return }
      (isFetching, isFetchPending) = (true, true)
    case (_, Offset.control):
      // A module that is started once takes one instruction; a program needs modules that go on.
      isStarted[block] = value & Control.start != 0 && value & Control.autoRestart != 0
    // Ones toggle.
    case (_, Offset.interruptStatus): return written[block][offset, default: 0] ^= value & 1
    default:
      if Self.arguments[block].contains(offset) { written[block][offset] = value }
      return
    }
    startIfReady()
  }

  /// Instructions wait in the queues until all three modules take them.
  private func startIfReady() {
    guard isFetchPending, isStarted[1], isStarted[2], isStarted[3] else { return }
    isFetchPending = false
    func argument(_ block: Block, _ offset: Int) -> UInt32 { written[block.rawValue][offset] ?? 0 }
    launch(
      Launch(
        instructions: argument(.fetch, 0x18), count: argument(.fetch, 0x10),
        bases: [
          .inp: argument(.load, 0x10), .wgt: argument(.load, 0x18), .uop: argument(.compute, 0x20),
          .acc: argument(.compute, 0x28), .out: argument(.store, 0x10),
        ], combination: .sum))
  }

  func fetchEnds() { (isFetching, isFetchDone) = (false, true) }

  func computeBegins() { (done, isDoneValid) = (0, true) }

  func computeEnds(cycles: UInt32, events: UInt32) {
    (done, isDoneValid) = (1, true)
    if signalsEnd { written[Block.compute.rawValue][Offset.interruptStatus] = 1 }
  }

  var signalsEnd: Bool {
    let compute = written[Block.compute.rawValue]
    return (compute[Offset.interruptEnable] ?? 0) & (compute[Offset.interruptMask] ?? 0) & 1 == 1
  }
}
