import Testing
import VTAModule
import VTARuntime
import VTASimulatedBoard

/// What the driver does to hardware, in order, held against what reference/vta-hardware.md (sections 5.1, 5.2 and 5.5) tells
/// of the drivers that worked.
@Suite struct DriverOrderTests {
  private func run(
    _ name: String, times: Int = 1, _ change: (inout SimulatedBoard.Options) -> Void = { _ in }
  ) async throws -> (events: [BoardEvent], instructions: UInt32) {
    let description = try Board.sample(name)
    var options = SimulatedBoard.Options()
    change(&options)
    let board = SimulatedBoard(description, options)
    var device = DeviceOptions()
    device.kernel = board
    let worker = try DeviceWorker.open("auto", device)
    let module = try Models.convolution(description.target)
    let model = try await worker.load(module)
    let inputs = Models.inputs(of: module, samples: 1, seed: 1)
    for _ in 0..<times {
      board.clearRecord()
      _ = try await worker.run(model, inputs: inputs)
    }
    let events = board.events
    await worker.shutdown()
    #expect(board.complaints == [])
    return (events, UInt32(module.programs[0].instructions.count / 16))
  }

  /// Where the driver put the program: in the buffer, as the accelerator sees it.
  private func written(_ events: [BoardEvent], _ block: String, _ offset: Int) -> UInt32? {
    events.lazy.compactMap { event in
      if case .writeRegister(block, offset, let value) = event { value } else { nil }
    }.first
  }

  @Test func vcr() async throws {
    let (events, count) = try await run("de10-nano")
    let address = try #require(written(events, "vcr", 0x0C))
    #expect(address >= 0x8000_0000 && address < 0xC000_0000 && address % 4096 == 0)
    #expect(
      events == [
        .writeRegister("vcr", 0x04, 0), .writeRegister("vcr", 0x08, count),
        .writeRegister("vcr", 0x0C, address), .writeRegister("vcr", 0x10, 0),
        .writeRegister("vcr", 0x14, 0), .writeRegister("vcr", 0x18, 0), .writeRegister("vcr", 0x1C, 0),
        .writeRegister("vcr", 0x20, 0), .publishMemory, .writeRegister("vcr", 0x00, 1),
        .readRegister("vcr", 0x00, 1), .readRegister("vcr", 0x00, 2), .acquireMemory,
      ])
  }

  private func start(_ address: UInt32, _ count: UInt32) -> [BoardEvent] {
    [
      .writeRegister("fetch", 0x10, count), .writeRegister("fetch", 0x18, address),
      .writeRegister("load", 0x10, 0), .writeRegister("load", 0x18, 0), .writeRegister("compute", 0x20, 0),
      .writeRegister("compute", 0x28, 0), .writeRegister("store", 0x10, 0), .publishMemory,
      .writeRegister("fetch", 0x00, 0x01), .writeRegister("load", 0x00, 0x81),
      .writeRegister("compute", 0x00, 0x81), .writeRegister("store", 0x00, 0x81),
    ]
  }

  /// `done` is 1 from the run before, so its flag is cleared first, and `done` is believed once the flag is set again.
  @Test func hls() async throws {
    for times in 1...2 {
      let (events, count) = try await run("ultra96-v2", times: times)
      let address = try #require(written(events, "fetch", 0x18))
      #expect(address < 0x8000_0000 && address % 4096 == 0)
      let clearing: [BoardEvent] = [.readRegister("compute", 0x1C, 1), .readRegister("compute", 0x1C, 0)]
      let expected = clearing + start(address, count)
      #expect(Array(events.prefix(expected.count)) == expected)
      let rest = events.dropFirst(expected.count)
      #expect(rest.last == .acquireMemory)
      let waiting = Array(rest.dropLast())
      // Written in this run: its flag is set again, or it was seen to be 0.
      let fresh = try #require(
        waiting.firstIndex {
          $0 == .readRegister("compute", 0x1C, 1) || $0 == .readRegister("compute", 0x18, 0)
        })
      let end = try #require(waiting.lastIndex(of: .readRegister("compute", 0x18, 1)))
      #expect(fresh < end && end == waiting.count - 1)
      for event in waiting {
        guard case .readRegister("compute", let offset, _) = event, [0x18, 0x1C].contains(offset) else {
          Issue.record("\(event) while waiting")
          continue
        }
      }
    }
  }

  /// Inputs are handed to the device before the start, outputs to the CPU after the end.
  @Test func memoryIsHandedOver() async throws {
    let (events, _) = try await run("ultra96-v2") { $0.isCoherent = false }
    func index(_ matches: (BoardEvent) -> Bool) -> Int? { events.firstIndex(where: matches) }
    func isHandOver(_ event: BoardEvent, forDevice: Bool) -> Bool {
      if case .synchronised("udmabuf0", let range, forDevice) = event { !range.isEmpty } else { false }
    }
    let toDevice = try #require(index { isHandOver($0, forDevice: true) })
    let publish = try #require(index { $0 == .publishMemory })
    let started = try #require(index { $0 == .writeRegister("fetch", 0, 1) })
    let acquire = try #require(index { $0 == .acquireMemory })
    let toCPU = try #require(index { isHandOver($0, forDevice: false) })
    #expect(toDevice < publish && publish < started && started < acquire && acquire < toCPU)
    #expect(
      !events[publish..<acquire].contains {
        isHandOver($0, forDevice: true) || isHandOver($0, forDevice: false)
      })
  }

  /// A coherent board costs no kernel call between start and end but sleeping.
  @Test func nothingIsSynchronisedOnACoherentBoard() async throws {
    let (events, _) = try await run("ultra96-v2")
    for event in events {
      switch event {
      case .synchronised, .ioctl, .open, .write: Issue.record("\(event)")
      default: break
      }
    }
  }
}
