import Testing
import VTA
import VTARuntime

@testable import VTASimulatedBoard

/// The player, driven through plain memory as a virtual machine would.
@Suite struct DevicePlayerTests {
  /// A board of a machine that has registers and memory in one place.
  private func board(_ layout: String) throws -> Board {
    let blocks =
      layout == "vcr"
      ? #""vcr": "0x0""# : #""fetch": "0x0", "load": "0x1000", "compute": "0x2000", "store": "0x3000""#
    return try Board(
      json: Array(
        """
        {"name": "shared", "title": "Shared memory", "device_tree": {}, "part": "none", "idcode": "0x0",
         "target": "\(layout == "vcr" ? "de10nano" : "zcu104")",
         "registers": {"layout": "\(layout)", "blocks": {\(blocks)}, "window": "0x1000"},
         "memory": {"limit": "0x100000000"}, "bus_bits": 64, "clock_mhz": 100,
         "coherency": {"port": "shared memory"}, "configuration": {"family": "cyclone-v"}}
        """.utf8))
  }

  private final class Machine {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 4096)
    init() { memory.initializeMemory(as: UInt8.self, repeating: 0) }
    deinit { memory.deallocate() }

    func read(_ offset: Int) -> UInt32 { memory.load(fromByteOffset: offset, as: UInt32.self) }
    func write(_ offset: Int, _ value: UInt32) {
      memory.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
    }
  }

  private let bus: UInt64 = 0xFE00_0000

  /// FINISH alone, behind the registers.
  private func start(_ machine: Machine, isVCR: Bool) {
    let code = 0x8000
    machine.memory.storeBytes(of: 3, toByteOffset: code, as: UInt64.self)
    machine.memory.storeBytes(of: 0, toByteOffset: code + 8, as: UInt64.self)
    let address = UInt32(bus) + UInt32(code)
    if isVCR {
      machine.write(0x08, 1)
      machine.write(0x0C, address)
      machine.write(0x00, 1)
    } else {
      machine.write(0x10, 1)
      machine.write(0x18, address)
      machine.write(0x0000, 1)
      for block in [0x1000, 0x2000, 0x3000] { machine.write(block, 0x81) }
    }
  }

  private func isDone(_ machine: Machine, isVCR: Bool) -> Bool {
    isVCR ? machine.read(0) == 2 : machine.read(0x2018) == 1
  }

  private func play(_ player: DevicePlayer, until: (DevicePlayer.Event) -> Bool) -> [DevicePlayer.Event] {
    let limit = ContinuousClock.now + .seconds(10)
    var events: [DevicePlayer.Event] = []
    while ContinuousClock.now < limit {
      events += player.step()
      if events.contains(where: until) { break }
    }
    return events
  }

  @Test(arguments: ["vcr", "hls"]) func runs(layout: String) throws {
    let machine = Machine()
    let isVCR = layout == "vcr"
    let player = try DevicePlayer(try board(layout), memory: machine.memory, busAddress: bus)
    #expect(player.step() == [])
    for run in 1...3 {
      start(machine, isVCR: isVCR)
      let events = play(player) { $0 == .ended(run: run) }
      #expect(events == [.started(run: run, instructions: 1), .ended(run: run)])
      #expect(isDone(machine, isVCR: isVCR))
    }
  }

  /// Of a run before, `done` keeps its 1; a driver that finds fetch idle must be able to believe it.
  @Test func fetchIsBusyUntilDoneTellsOfTheSameRun() throws {
    let machine = Machine()
    let player = try DevicePlayer(try board("hls"), memory: machine.memory, busAddress: bus)
    let idle: UInt32 = 4
    for run in 1...3 {
      start(machine, isVCR: false)
      var events: [DevicePlayer.Event] = []
      while !events.contains(.ended(run: run)) {
        #expect(machine.read(0) & idle == 0)
        events += player.step()
      }
      #expect(machine.read(0) & idle != 0)
      #expect(machine.read(0x201C) == 0, "a flag that no read can clear")
    }
  }

  @Test func aHungRunStaysUntilThePlayerIsStartedAgain() throws {
    let machine = Machine()
    let board = try board("vcr")
    var player = try DevicePlayer(board, memory: machine.memory, busAddress: bus)
    player.inject(.hang, after: 0)
    start(machine, isVCR: true)
    #expect(player.step() == [.started(run: 1, instructions: 1)])
    machine.write(0, 0)
    #expect(player.step().isEmpty)
    start(machine, isVCR: true)
    _ = player.step()
    #expect(machine.read(0) == 1)
    player = try DevicePlayer(board, memory: machine.memory, busAddress: bus)
    #expect(machine.read(0) == 0, "as after power-up")
    start(machine, isVCR: true)
    _ = play(player) { $0 == .ended(run: 1) }
    #expect(machine.read(0) == 2)
  }

  @Test func aLostStart() throws {
    let machine = Machine()
    let player = try DevicePlayer(try board("vcr"), memory: machine.memory, busAddress: bus)
    player.inject(.startLost, after: 0)
    start(machine, isVCR: true)
    #expect(player.step() == [])
    machine.write(0, 0)
    _ = player.step()
    start(machine, isVCR: true)
    #expect(play(player) { $0 == .ended(run: 2) }.last == .ended(run: 2))
  }

  @Test func whatCannotBePlayed() throws {
    let machine = Machine()
    #expect(throws: DevicePlayer.Unplayable.self) {
      try DevicePlayer(try board("vcr"), memory: machine.memory, busAddress: 0x38_0000_0000)
    }
    let little = UnsafeMutableRawBufferPointer(rebasing: machine.memory[..<4096])
    #expect(throws: DevicePlayer.Unplayable.self) {
      try DevicePlayer(try board("vcr"), memory: little, busAddress: bus)
    }
  }
}
