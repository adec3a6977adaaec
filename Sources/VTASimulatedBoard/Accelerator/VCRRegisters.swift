internal import VTA

/// One block, as Chisel makes it for 32-bit memory addresses (reference/vta-hardware.md, section 5.2).
final class VCRRegisters: Accelerator.Registers {
  private enum Control {
    static let launch: UInt32 = 1
    static let finish: UInt32 = 2
  }

  private enum Offset {
    static let control = 0x00
    static let cycles = 0x04
    static let count = 0x08
    static let instructions = 0x0C
    static let bases: [(Int, MemoryType)] = [
      (0x10, .uop), (0x14, .inp), (0x18, .wgt), (0x1C, .acc), (0x20, .out),
    ]
    static let events = 0x24
  }

  let blockNames = ["vcr"]
  private let launch: (Launch) -> Void
  private var values: [Int: UInt32] = [:]
  var isDoneStuck = false

  init(launch: @escaping (Launch) -> Void) { self.launch = launch }

  func reset() { values = [:] }

  func value(_ block: Int, _ offset: Int) -> UInt32 {
    let stuck = isDoneStuck && offset == Offset.control ? Control.finish : 0
    return (values[offset] ?? 0) | stuck
  }

  func wasRead(_ block: Int, _ offset: Int) {}

  func write(_ block: Int, _ offset: Int, _ value: UInt32) {
    guard offset % 4 == 0, (Offset.control...Offset.events).contains(offset) else { return }
    let before = values[offset] ?? 0
    values[offset] = value
    guard offset == Offset.control, value & ~before & Control.launch != 0 else { return }
    var bases: [MemoryType: UInt32] = [:]
    for (offset, memory) in Offset.bases { bases[memory] = values[offset] ?? 0 }
    launch(
      Launch(
        instructions: values[Offset.instructions] ?? 0, count: values[Offset.count] ?? 0, bases: bases,
        combination: .or))
  }

  let signalsEnd = true

  func fetchEnds() {}
  func computeBegins() {}

  func computeEnds(cycles: UInt32, events: UInt32) {
    values[Offset.control] = Control.finish
    values[Offset.cycles] = cycles
    values[Offset.events] = events
  }
}
