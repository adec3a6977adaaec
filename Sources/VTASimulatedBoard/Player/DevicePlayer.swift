private import CVTALinux
internal import VTA
package import VTARuntime

/// Plays the accelerator of a board in plain memory that it shares with the driver's machine: registers at the start,
/// device memory behind them.
///
/// What plain memory can't show: a read has no effect, so this is an accelerator whose `done_valid` never comes, and a
/// driver must go by `done` and an idle fetch; a write of the value that is there already is not noticed; and between a
/// write of the driver's and its effect lies the time until the player looks again.
package final class DevicePlayer {
  package enum Event: Hashable, Sendable, CustomStringConvertible {
    case started(run: Int, instructions: UInt32)
    case ended(run: Int)
    case stalled(run: Int, reason: String)

    package var description: String {
      switch self {
      case .started(let run, let instructions): "run \(run): \(instructions) instructions"
      case .ended(let run): "run \(run): done"
      case .stalled(let run, let reason): "run \(run): never ends: \(reason)"
      }
    }
  }

  private let shared: UnsafeMutableRawBufferPointer
  private let accelerator: Accelerator
  private let faults = Faults()
  /// Where each block begins, in bytes from the start.
  private let places: [(block: Int, base: Int)]
  /// What the driver finds in each register unless it has written there since, by place and offset.
  private var shown: [[UInt32]]
  private var events: [Event] = []

  /// Control registers come first: once a start is seen, the arguments before it are there too.
  private static let wordsPerBlock = 0x30 / 4

  package enum Unplayable: Error, CustomStringConvertible {
    case tooSmall(needed: UInt64)
    case outOfReach(address: UInt64)

    package var description: String {
      switch self {
      case .tooSmall(let needed):
        "the file has no room for registers and memory; it must have over \(needed) bytes"
      case .outOfReach(let address):
        "the accelerator can't address 0x\(String(address, radix: 16)); give the machine a bus address below 4 GiB"
      }
    }
  }

  /// - Parameters:
  ///   - memory: stays mapped as long as this object lives.
  ///   - busAddress: where the driver's machine sees its first byte.
  package init(
    _ board: Board, memory shared: UnsafeMutableRawBufferPointer, busAddress: UInt64
  ) throws(Unplayable) {
    let registers = board.registers
    let lowest = registers.bases.values.min()?.rawValue ?? 0
    let end = (registers.bases.values.max()?.rawValue ?? 0) - lowest + registers.window
    guard UInt64(shared.count) > end else { throw .tooSmall(needed: end) }
    self.shared = shared
    places = registers.map.blocks.enumerated().compactMap { index, block in
      registers.bases[block].map { (index, Int($0.rawValue - lowest)) }
    }
    shown = Array(repeating: Array(repeating: 0, count: Self.wordsPerBlock), count: places.count)

    let memory = SimulatedMemory()
    let (address, overflow) = busAddress.addingReportingOverflow(end + board.memory.deviceOffset)
    guard !overflow else { throw .outOfReach(address: busAddress) }
    do {
      try memory.map(
        address: address, borrowing: UnsafeMutableRawBufferPointer(rebasing: shared[Int(end)...]))
    } catch {
      throw .outOfReach(address: address)
    }
    accelerator = Accelerator.make(
      board, hasDoneFlag: false, clock: Clock(.real), faults: faults, memory: { memory })
    accelerator.fetchesToTheEnd = true
    accelerator.configure(board.target)
    for index in places.indices { show(index, all: true) }
    accelerator.complain = { [unowned self] in
      events.append(.stalled(run: accelerator.launchCount, reason: $0))
    }
  }

  package func inject(_ fault: Fault, after skip: Int, times: Int = 1) {
    faults.plan(fault, after: skip, times: times)
  }

  /// Takes what the driver has written since the last call, and shows what has become of it.
  /// - Returns: what happened, oldest first.
  package func step() -> [Event] {
    let written = places.indices.map { index in
      (0..<Self.wordsPerBlock).map { vta_register_read(shared.baseAddress, places[index].base + 4 * $0) }
    }
    vta_acquire_memory()
    let runs = accelerator.launchCount
    // Arguments before control registers.
    for word in (0..<Self.wordsPerBlock).reversed() {
      for index in places.indices where written[index][word] != shown[index][word] {
        shown[index][word] = written[index][word]
        accelerator.registers.write(places[index].block, 4 * word, written[index][word])
      }
    }
    if accelerator.launchCount > runs, let count = accelerator.instructionCount {
      events.append(.started(run: accelerator.launchCount, instructions: count))
    }
    let wasBusy = accelerator.isBusy
    accelerator.settle()
    if wasBusy, !accelerator.isBusy { events.append(.ended(run: accelerator.launchCount)) }
    vta_publish_memory()
    // Fetch last: when it is idle, the others tell of the same run.
    for index in places.indices.reversed() { show(index, all: false) }
    defer { events = [] }
    return events
  }

  /// Only what has changed: the rest is the driver's to write.
  private func show(_ index: Int, all: Bool) {
    for word in (0..<Self.wordsPerBlock).reversed() {
      let value =
        accelerator.isGone ? UInt32.max : accelerator.registers.value(places[index].block, 4 * word)
      guard all || value != shown[index][word] else { continue }
      shown[index][word] = value
      vta_register_write(shared.baseAddress, places[index].base + 4 * word, value)
    }
  }
}
