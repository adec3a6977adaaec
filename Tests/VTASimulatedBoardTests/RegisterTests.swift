import Testing
import VTARuntime
import VTASimulatedBoard

/// The accelerator as registers show it, held against reference/vta-hardware.md, sections 5.1 and 5.2.
@Suite struct RegisterTests {
  private func values(_ index: Int) -> Int32 { Int32(index &* 77 - 1000) }
  private func others(_ index: Int) -> Int32 { Int32(index &* -31 + 9) }

  @Test(arguments: Board.samples) func referenceSequence(name: String) throws {
    let board = SimulatedBoard(try .sample(name))
    let host = try ReferenceHost(board)
    for values in [values, others] {
      try TinyProgram.place(in: host, values: values)
      #expect(host.run(TinyProgram.code, count: TinyProgram.count))
      #expect(TinyProgram.outputs(in: host) == TinyProgram.expected(values))
    }
    #expect(board.complaints.isEmpty)
  }

  @Test func vcrRegistersAfterARun() throws {
    let host = try ReferenceHost(SimulatedBoard(try .sample("de10-nano")))
    try TinyProgram.place(in: host, values: values)
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(host.read(0x00) == 1, "launch, until FINISH")
    #expect(host.wait())
    #expect(host.read(0x00) == 2)
    #expect(host.read(0x04) > 0, "cycles")
    #expect(host.read(0x08) == UInt32(TinyProgram.count))
    #expect(host.read(0x24) > 0, "accumulator writes")
    #expect(host.read(0x28) == 0, "no register")
    // A second 1 without a 0 in between is no rising edge, but FINISH has cleared launch.
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(host.wait())
    #expect(host.board.launchCount == 2)
  }

  /// `done` of the last run is there until the first compute instruction; the flag at 0x1C is not.
  @Test func staleDone() throws {
    let board = SimulatedBoard(try .sample("ultra96-v2"))
    let host = try ReferenceHost(board)
    try TinyProgram.place(in: host, values: values)
    #expect(host.run(TinyProgram.code, count: TinyProgram.count))
    try TinyProgram.place(in: host, values: others)
    board.inject(.doneStale(.microseconds(50)))
    _ = host.read(ReferenceHost.compute + 0x1C)
    #expect(host.read(ReferenceHost.compute + 0x1C) == 0, "cleared on read")
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(host.isDone, "of the run before")
    #expect(TinyProgram.outputs(in: host).allSatisfy { $0 == 0xEE })
    #expect(host.read(ReferenceHost.compute + 0x1C) == 0)
    board.sleep(.microseconds(51))
    #expect(!host.isDone)
    #expect(host.read(ReferenceHost.compute + 0x1C) == 1)
    #expect(host.wait())
    #expect(TinyProgram.outputs(in: host) == TinyProgram.expected(others))
  }

  @Test func controlBits() throws {
    let board = SimulatedBoard(try .sample("zcu102"))
    let host = try ReferenceHost(board)
    #expect(host.read(ReferenceHost.fetch) == 0b0100, "idle")
    try TinyProgram.place(in: host, values: values)
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(host.read(ReferenceHost.fetch) == 0b0001, "started")
    #expect(host.read(ReferenceHost.store) == 0b1000_0001)
    #expect(host.wait())
    #expect(host.read(ReferenceHost.fetch) & 0b0110 == 0b0110, "idle and done")
    #expect(host.read(ReferenceHost.fetch) & 0b0010 == 0, "done is cleared on read")
  }

  /// Instructions wait in the queues of modules that were never started.
  @Test func modulesMustBeStarted() throws {
    let host = try ReferenceHost(SimulatedBoard(try .sample("zcu102")))
    try TinyProgram.place(in: host, values: values)
    host.write(0x10, UInt32(TinyProgram.count))
    host.write(0x18, UInt32(host.bus) + UInt32(TinyProgram.code))
    host.write(ReferenceHost.fetch, 1)
    #expect(!host.wait(looks: 100))
    for block in [ReferenceHost.load, ReferenceHost.compute, ReferenceHost.store] { host.write(block, 0x81) }
    #expect(host.wait())
    #expect(TinyProgram.outputs(in: host) == TinyProgram.expected(values))
  }

  /// HLS adds base registers, Chisel ORs them; both with addresses in the instructions that count from the base.
  @Test(arguments: ["ultra96-v2", "de10-nano"]) func baseRegisters(name: String) throws {
    let board = SimulatedBoard(try .sample(name))
    let host = try ReferenceHost(board)
    #expect(host.bus % 0x10000 == 0, "OR is a sum then")
    try TinyProgram.place(in: host, base: 0, values: values)
    let base = UInt32(host.bus)
    if host.isVCR {
      host.write(0x08, UInt32(TinyProgram.count))
      host.write(0x0C, base + UInt32(TinyProgram.code))
      for offset in stride(from: 0x10, through: 0x20, by: 4) { host.write(offset, base) }
      host.write(0x00, 1)
    } else {
      host.start(TinyProgram.code, count: TinyProgram.count)
      // Too late for that run, which goes astray; the next one has them.
      #expect(!host.wait(looks: 1000))
      #expect(!board.complaints.isEmpty)
      return
    }
    #expect(host.wait())
    #expect(TinyProgram.outputs(in: host) == TinyProgram.expected(values))
  }

  /// A run that goes where no memory is never ends, and says why to whoever looks from outside.
  @Test(arguments: ["ultra96-v2", "de10-nano"]) func addressesOutsideAllMemory(name: String) throws {
    let board = SimulatedBoard(try .sample(name))
    let host = try ReferenceHost(board)
    try TinyProgram.place(in: host, base: 0x1000_0000, values: values)
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(!host.wait(looks: 1000))
    #expect(board.complaints.contains { $0.contains("lie outside the memory") })
    // It stays so; only configuration helps.
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(!host.wait(looks: 1000))
    #expect(board.launchCount == 1)
  }

  @Test func registersWithoutADesignAreABusError() throws {
    var options = SimulatedBoard.Options()
    options.loaded = .some(nil)
    let board = SimulatedBoard(try .sample("ultra96-v2"), options)
    let host = try ReferenceHost(board)
    #expect(host.read(0) == .max)
    #expect(board.complaints.first?.hasPrefix("bus error at fetch+0x0") == true)
  }

  @Test func closedBridgesAreABusError() throws {
    var options = SimulatedBoard.Options()
    options.areBridgesEnabled = false
    let board = SimulatedBoard(try .sample("de10-nano"), options)
    let host = try ReferenceHost(board)
    #expect(host.read(0) == .max)
    #expect(board.complaints.first?.contains("bridge") == true)
    #expect(try board.text(of: "/sys/class/fpga_bridge/br0/state") == "disabled")
  }

  @Test(arguments: [Fault.hang, .startLost, .doneMissing, .registersAllOnes])
  func runsThatNeverShowTheirEnd(fault: Fault) throws {
    for name in ["ultra96-v2", "de10-nano"] {
      let board = SimulatedBoard(try .sample(name))
      let host = try ReferenceHost(board)
      try TinyProgram.place(in: host, values: values)
      board.inject(fault)
      #expect(!host.run(TinyProgram.code, count: TinyProgram.count) || fault == .registersAllOnes)
      #expect((TinyProgram.outputs(in: host) == TinyProgram.expected(values)) == (fault == .doneMissing))
      if fault == .registersAllOnes { #expect(host.read(0) == .max) }
    }
  }

  @Test func aStuckBitIsDoneBeforeItIs() throws {
    for name in ["ultra96-v2", "de10-nano"] {
      let board = SimulatedBoard(try .sample(name))
      let host = try ReferenceHost(board)
      try TinyProgram.place(in: host, values: values)
      board.inject(.doneStuck)
      host.start(TinyProgram.code, count: TinyProgram.count)
      #expect(host.isDone)
      #expect(TinyProgram.outputs(in: host).allSatisfy { $0 == 0xEE })
    }
  }

  @Test func accessesAreRecordedInOrder() throws {
    let board = SimulatedBoard(try .sample("de10-nano"))
    let host = try ReferenceHost(board)
    try TinyProgram.place(in: host, values: values)
    board.clearRecord()
    host.start(TinyProgram.code, count: 6)
    _ = host.wait()
    let writes: [BoardEvent] = [
      .writeRegister("vcr", 0x04, 0), .writeRegister("vcr", 0x08, 6),
      .writeRegister("vcr", 0x0C, UInt32(host.bus) + 0x4000), .writeRegister("vcr", 0x10, 0),
      .writeRegister("vcr", 0x14, 0), .writeRegister("vcr", 0x18, 0), .writeRegister("vcr", 0x1C, 0),
      .writeRegister("vcr", 0x20, 0), .writeRegister("vcr", 0x00, 1),
    ]
    #expect(board.events == writes + [.readRegister("vcr", 0, 1), .readRegister("vcr", 0, 2)])
  }
}
