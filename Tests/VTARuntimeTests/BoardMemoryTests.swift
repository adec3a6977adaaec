import SystemPackage
import Testing
import VTA
import VTASimulatedBoard

@testable import VTARuntime

/// How the driver comes by memory, over simulated boards.
@Suite struct BoardMemoryTests {
  private func open(
    _ name: String = "ultra96-v2", _ memory: MemoryChoice = .any,
    _ change: (inout SimulatedBoard.Options) -> Void
  ) throws -> DeviceName.Opened {
    var setUp = SimulatedBoard.Options()
    change(&setUp)
    var options = DeviceOptions()
    options.kernel = SimulatedBoard(try #require(Board.named(name)), setUp)
    options.memory = memory
    options.requiresHardware = true
    return try DeviceName.resolve("auto", options)()
  }

  private func hardware(
    _ name: String = "ultra96-v2", _ memory: MemoryChoice = .any,
    _ change: (inout SimulatedBoard.Options) -> Void
  ) throws -> DeviceDescription.Hardware {
    try #require(try open(name, memory, change).description.hardware)
  }

  @Test func theSelfTestDecides() throws {
    #expect(try hardware { _ in }.coherency == .coherent)
    let stale = try hardware { $0.isCoherent = false }
    #expect(stale.coherency == .synchronised)
    #expect(stale.coherencyReason.contains("coherent memory: "), "what was seen: \(stale.coherencyReason)")
    #expect(
      try hardware { ($0.isCoherent, $0.memory) = (false, [.reserved(32 << 20)]) }.coherency == .uncached)
    #expect(try hardware("de10-nano") { $0.memory = [.cmaDevice] }.coherency == .coherent)
  }

  /// Without maintenance a port that is not coherent sees neither data nor instructions, so the device is not opened, and
  /// such memory is never taken unasked.
  @Test func memoryWithoutMaintenanceNeedsACoherentPort() throws {
    let pages = MemoryChoice.named(kind: .hugePages, name: nil)
    #expect(throws: DeviceError.self) {
      try open("ultra96-v2", pages) { ($0.isCoherent, $0.memory) = (false, [.hugePages]) }
    }
    #expect(try hardware("ultra96-v2", pages) { $0.memory = [.hugePages] }.coherency == .coherent)
    #expect(throws: DeviceError.self) { try open { $0.memory = [.hugePages] } }
  }

  /// Linux 6.8 and later say frame 0; so it does to those who may not know.
  @Test func hiddenFramesNameTheWayOut() throws {
    let cases: [(MemoryChoice.Kind, SimulatedBoard.Options.MemorySource)] = [
      (.dmaHeap, .dmaHeap), (.hugePages, .hugePages),
    ]
    for (kind, memory) in cases {
      let error = #expect(throws: DeviceError.self) {
        try open("ultra96-v2", .named(kind: kind, name: nil)) {
          ($0.showsPageFrames, $0.memory) = (false, [memory])
        }
      }
      #expect(
        error?.description.contains("frame 0") == true && error?.description.contains("u-dma-buf") == true)
    }
  }

  @Test func whatIsNamedMustBeThere() throws {
    for kind in MemoryChoice.Kind.allCases where kind != .uDMABuf {
      #expect(throws: DeviceError.self) { try open("ultra96-v2", .named(kind: kind, name: nil)) { _ in } }
    }
    #expect(throws: DeviceError.self) {
      try open("ultra96-v2", .named(kind: .uDMABuf, name: "udmabuf7")) { _ in }
    }
  }

  /// Programs are verified against the window that the board shows to the accelerator.
  @Test func addressesAreThoseOfTheAccelerator() throws {
    let backend = try open("de10-nano") { _ in }.backend
    #expect(backend.window == 0x8000_0000..<0xC000_0000)
    let address = try #require(try backend.allocate([4096]).first)
    #expect(backend.window.contains(address.rawValue))
  }

  /// A block that the accelerator's port does not reach is no memory for it.
  @Test func memoryBeyondTheWindowIsRefused() throws {
    let kernel = SimulatedBoard(try #require(Board.named("zcu102")))
    let memory = DeviceMemory(
      try UDMABuf.memory("udmabuf0", on: kernel), .coherent,
      window: Board.Memory(limit: PhysicalAddress(0x1000_0000), deviceOffset: 0),
      headroom: CMAHeadroom(kernel: kernel, byteCount: 0))
    let error = #expect(throws: DeviceError.self) { try memory.allocate([4096]) }
    #expect(error?.description.contains("0x10000000") == true)
  }

  @Test func roomToProgramIsKept() throws {
    var setUp = SimulatedBoard.Options()
    setUp.memory = [.dmaHeap]
    let kernel = SimulatedBoard(try #require(Board.named("zcu102")), setUp)
    let board = try #require(Board.named("zcu102"))
    let memory = DeviceMemory(
      try DMAHeap(nil, on: kernel), .coherent, window: board.memory,
      headroom: CMAHeadroom(kernel: kernel, byteCount: 200 << 20))
    let small = try memory.allocate([16 << 20])
    #expect(throws: DeviceError.self) { try memory.allocate([64 << 20]) }
    memory.free(small[0])
    #expect(kernel.usage.takenBytes == 0)
  }
}
