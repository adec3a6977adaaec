import SystemPackage
import Testing
import VTA
import VTARuntime

@testable import VTASimulatedBoard

/// Configuration of the FPGA in the three ways that kernels offer (reference/boards-and-peers.md, sections C2 to C4 and C8;
/// reference/vta-hardware.md, section 8).
@Suite struct FPGATests {
  private let manager = "/sys/class/fpga_manager/fpga0"

  private func board(
    _ name: String, _ configuration: SimulatedBoard.Options.Configuration = .firmwareAttribute
  ) throws -> SimulatedBoard {
    var options = SimulatedBoard.Options()
    options.loaded = .some(nil)
    options.configuration = configuration
    return SimulatedBoard(try .sample(name), options)
  }

  /// Without the container, each word swapped: what the kernel wants.
  private func firmware(_ file: [UInt8]) -> [UInt8] {
    let payload = file.count - 4096
    var words = Array(file[payload...])
    for index in stride(from: 0, to: words.count, by: 4) { words[index..<index + 4].reverse() }
    return words
  }

  private func states(_ board: SimulatedBoard) -> [String] {
    board.events.compactMap { if case .managerState(let state) = $0 { state } else { nil } }
  }

  @Test(arguments: ["ultra96-v2", "pynq-z1"]) func loads(name: String) throws {
    let board = try board(name)
    #expect(try board.text(of: "\(manager)/state") == "unknown")
    let file = SimulatedBitstream.file(for: board.board, target: board.board.target)
    board.store(firmware(file), at: "/lib/firmware/vta.bin")
    try board.write("0", to: "\(manager)/flags")
    try board.write("vta.bin\n", to: "\(manager)/firmware")
    #expect(states(board) == ["firmware request", "write init", "write", "write complete", "operating"])
    #expect(try board.text(of: "\(manager)/state") == "operating")
    #expect(board.configuredTarget == board.board.target)
    let host = try ReferenceHost(board)
    try TinyProgram.place(in: host) { Int32($0) }
    #expect(host.run(TinyProgram.code, count: TinyProgram.count))
  }

  @Test(arguments: ["write init", "write", "write complete"]) func everyErrorState(state: String) throws {
    let board = try board("ultra96-v2")
    board.store(
      firmware(SimulatedBitstream.file(for: board.board, target: board.board.target)),
      at: "/lib/firmware/vta.bin")
    board.inject(.load(state: "\(state) error", .ioError))
    #expect(throws: KernelError.self) { try board.write("vta.bin", to: "\(manager)/firmware") }
    #expect(try board.text(of: "\(manager)/state") == "\(state) error")
    #expect(board.configuredTarget == nil)
    try board.write("vta.bin", to: "\(manager)/firmware")
    #expect(try board.text(of: "\(manager)/state") == "operating")
  }

  @Test func refusals() throws {
    let ultra = try board("ultra96-v2")
    let pynq = try board("pynq-z1")
    func state(_ board: SimulatedBoard, _ image: [UInt8]) throws -> String {
      board.store(image, at: "/lib/firmware/image")
      #expect(throws: KernelError.self) { try board.write("image", to: "\(manager)/firmware") }
      return try board.text(of: "\(manager)/state")
    }
    #expect(throws: KernelError.self) { try ultra.write("nothing", to: "\(manager)/firmware") }
    #expect(try ultra.text(of: "\(manager)/state") == "firmware request error")
    let foreign = SimulatedBitstream.file(for: pynq.board, target: pynq.board.target)
    #expect(try state(ultra, firmware(foreign)) == "write error", "another part")
    let own = SimulatedBitstream.file(for: pynq.board, target: pynq.board.target)
    #expect(try state(pynq, Array(own.suffix(4096))) == "write init error", "words are not swapped")
    #expect(try state(pynq, firmware(own) + [0]) == "write init error", "not whole words")
    #expect(try state(pynq, [UInt8](repeating: 0xFF, count: 4096)) == "write init error", "no sync word")
  }

  @Test func zynqMPNeedsContiguousMemory() throws {
    let board = try board("ultra96-v2")
    board.store(
      firmware(SimulatedBitstream.file(for: board.board, target: board.board.target)),
      at: "/lib/firmware/vta.bin")
    let other = board.takeFromPool(board.poolFreeBytes)
    let error = #expect(throws: KernelError.self) { try board.write("vta.bin", to: "\(manager)/firmware") }
    #expect(error?.code == .noMemory)
    #expect(try board.text(of: "\(manager)/state") == "write error")
    withExtendedLifetime(other) {}
  }

  @Test func anotherDesign() throws {
    let board = try board("ultra96-v2")
    let other = try #require(Target.named("zcu102"))
    board.store(
      firmware(SimulatedBitstream.file(for: board.board, target: other)), at: "/lib/firmware/other.bin")
    try board.write("other.bin", to: "\(manager)/firmware")
    #expect(board.configuredTarget == other)
  }

  @Test func overlays() throws {
    let board = try board("de10-nano", .overlays)
    let folder = "/sys/kernel/config/device-tree/overlays/vta"
    #expect(!board.exists("\(manager)/firmware"))
    board.store(
      SimulatedBitstream.file(for: board.board, target: board.board.target), at: "/lib/firmware/vta.rbf")
    try board.makeFolder(folder)
    #expect(try board.text(of: "\(folder)/status") == "unapplied")
    #expect(throws: KernelError.self) { try board.write("no tree", to: "\(folder)/dtbo") }
    let blob = try OpenFile("\(folder)/dtbo", .writeOnly, on: board)
    try blob.writeAll(Self.tree("firmware-name", "vta.rbf"))
    #expect(try board.text(of: "\(folder)/status") == "applied")
    #expect(board.configuredTarget == board.board.target)
    #expect(try board.text(of: "/sys/class/fpga_bridge/br0/state") == "enabled")
    try board.removeFolder(folder)
    #expect(!board.exists(folder))
  }

  /// A failed overlay leaves the bridges closed.
  @Test func failedOverlay() throws {
    let board = try board("de10-nano", .overlays)
    let folder = "/sys/kernel/config/device-tree/overlays/vta"
    try board.makeFolder(folder)
    let blob = try OpenFile("\(folder)/dtbo", .writeOnly, on: board)
    #expect(throws: KernelError.self) { try blob.writeAll(Self.tree("firmware-name", "missing.rbf")) }
    #expect(try board.text(of: "\(folder)/status") == "unapplied")
    #expect(try board.text(of: "/sys/class/fpga_bridge/br0/state") == "disabled")
  }

  /// A flattened tree of one node with one property.
  static func tree(_ name: String, _ value: String) -> [UInt8] {
    func word(_ value: Int) -> [UInt8] { (0..<4).reversed().map { UInt8(value >> (8 * $0) & 0xFF) } }
    func padded(_ bytes: [UInt8]) -> [UInt8] {
      bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }
    let text = Array(value.utf8) + [0]
    let structure =
      word(1) + word(0) + word(3) + word(text.count) + word(0) + padded(text) + word(2) + word(9)
    let strings = Array(name.utf8) + [0]
    let start = 40 + 16
    return word(0xD00D_FEED) + word(start + structure.count + strings.count) + word(start)
      + word(start + structure.count) + word(40) + word(17) + word(16) + word(0) + word(strings.count)
      + word(structure.count) + [UInt8](repeating: 0, count: 16) + structure + strings
  }

  /// The fifteen steps of section 8.3, as written there.
  @Test(arguments: [(UInt32(0b01010), true), (0b00010, false)])
  func cycloneRegisters(msel: UInt32, isAccepted: Bool) throws {
    var options = SimulatedBoard.Options()
    options.loaded = .some(nil)
    options.configuration = .registers
    options.msel = msel
    let board = SimulatedBoard(try .sample("de10-nano"), options)
    let image = SimulatedBitstream.file(for: board.board, target: board.board.target)
    let mem = try OpenFile("/dev/mem", .readWrite, on: board)
    let registers = try board.mapRegisters(mem.descriptor, offset: 0xFF70_6000, byteCount: 4096)
    let data = try board.mapRegisters(mem.descriptor, offset: 0xFFB9_0000, byteCount: 4096)
    func mode() -> UInt32 { registers.read(0) & 7 }
    #expect(registers.read(0) >> 3 & 31 == msel)
    // FPP32 with compression, whatever the switches say.
    var control: UInt32 = 3 << 6 | 1 << 9 | 1
    registers.write(0x004, control | 1 << 2)
    #expect(mode() == 1, "reset")
    registers.write(0x004, control)
    #expect(mode() == 2, "configuration")
    registers.write(0x84C, 1)
    control |= 1 << 8
    registers.write(0x004, control)
    for index in stride(from: 0, to: image.count, by: 4) {
      let word = image[index..<index + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      data.write(0, word)
    }
    #expect((registers.read(0x850) & 0b10 != 0) == isAccepted, "CONF_DONE")
    guard isAccepted else { return }
    control &= ~(1 << 8)
    registers.write(0x004, control)
    registers.write(0x00C, 1)
    registers.write(0x008, 4)
    #expect(registers.read(0x00C) == 1)
    registers.write(0x00C, 1)
    #expect(registers.read(0x00C) == 0)
    #expect(mode() == 4, "user")
    registers.write(0x004, control & ~1)
    #expect(board.configuredTarget == board.board.target)
  }
}
