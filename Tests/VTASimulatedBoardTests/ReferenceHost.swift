import SystemPackage
import Testing
import VTA
import VTARuntime
import VTASimulatedBoard

/// A host that drives a board with nothing but kernel calls and the numbers of reference/vta-hardware.md, written without
/// the driver and its tables.
final class ReferenceHost {
  let board: SimulatedBoard
  let isVCR: Bool
  let memory: MappedMemory
  /// Where the CPU, and where the accelerator sees the memory's first byte.
  let physical: UInt64
  let bus: UInt64
  private let registers: any RegisterBlock
  private let mem: OpenFile

  /// - Parameter isUncached: map the memory around the cache.
  init(_ board: SimulatedBoard, isUncached: Bool = false) throws {
    self.board = board
    isVCR = board.board.name == "de10-nano"
    let options: FileDescriptor.OpenOptions =
      isUncached ? FileDescriptor.OpenOptions(rawValue: 0o4_010_000) : []
    let file = try OpenFile("/dev/udmabuf0", .readWrite, options, on: board)
    let byteCount = try board.number(of: "/sys/class/u-dma-buf/udmabuf0/size")
    physical = try board.number(of: "/sys/class/u-dma-buf/udmabuf0/phys_addr")
    bus = physical + (isVCR ? 0x8000_0000 : 0)
    memory = try MappedMemory(file, byteCount: Int(byteCount))
    mem = try OpenFile("/dev/mem", .readWrite, on: board)
    let base: UInt64 = isVCR ? 0xFF22_0000 : board.board.name.hasPrefix("pynq") ? 0x43C0_0000 : 0xA000_0000
    registers = try board.mapRegisters(mem.descriptor, offset: base, byteCount: isVCR ? 0x1000 : 0x4000)
  }

  static let fetch = 0x0000
  static let load = 0x1000
  static let compute = 0x2000
  static let store = 0x3000

  func read(_ offset: Int) -> UInt32 { registers.read(offset) }
  func write(_ offset: Int, _ value: UInt32) { registers.write(offset, value) }

  /// Sections 5.1 and 5.2: arguments, then control.
  func start(_ program: Int, count: Int) {
    let address = UInt32(bus) + UInt32(program)
    if isVCR {
      for (offset, value) in [(0x04, 0), (0x08, UInt32(count)), (0x0C, address)] { write(offset, value) }
      for offset in stride(from: 0x10, through: 0x20, by: 4) { write(offset, 0) }
      write(0x00, 1)
      return
    }
    write(Self.fetch + 0x10, UInt32(count))
    write(Self.fetch + 0x18, address)
    for offset in [
      Self.load + 0x10, Self.load + 0x18, Self.compute + 0x20, Self.compute + 0x28, Self.store + 0x10,
    ] {
      write(offset, 0)
    }
    write(Self.fetch, 0x01)
    for block in [Self.load, Self.compute, Self.store] { write(block, 0x81) }
  }

  var isDone: Bool { isVCR ? read(0x00) & 2 != 0 : read(Self.compute + 0x18) == 1 }

  /// - Returns: whether it was done within so many looks, a microsecond apart.
  func wait(looks: Int = 10_000) -> Bool {
    for _ in 0..<looks {
      if isDone { return true }
      board.sleep(.microseconds(1))
    }
    return false
  }

  /// The whole run, the way the reference recommends.
  func run(_ program: Int, count: Int) -> Bool {
    if !isVCR { _ = read(Self.compute + 0x1C) }
    start(program, count: count)
    if !isVCR {
      for _ in 0..<10_000 where read(Self.compute + 0x1C) == 0 { board.sleep(.microseconds(1)) }
    }
    return wait()
  }
}

/// Adds 5 to four accumulator tiles: out = low byte of (acc + 5).
struct TinyProgram {
  static let tiles = 4
  // Byte offsets in the memory.
  static let microOps = 0x1000
  static let accumulators = 0x2000
  static let outputs = 0x3000
  static let code = 0x4000
  static let count = 6

  /// Writes program and data into the host's memory.
  /// - Parameter base: what the addresses in the instructions count from.
  static func place(in host: ReferenceHost, base: UInt64? = nil, values: (Int) -> Int32) throws {
    let target = host.board.board.target
    let bytes = host.memory.bytes
    let origin = base ?? host.bus
    let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    func transfer(_ memory: MemoryType, _ offset: Int, _ count: Int) -> Transfer {
      let size = target.configuration.elementBytes(memory)
      return Transfer(
        memory: memory, sramBase: 0, dramBase: UInt32((origin + UInt64(offset)) / UInt64(size)), ySize: 1,
        xSize: count, xStride: count)
    }
    let loops = LoopNest(uopBegin: 0, uopEnd: 1, iterOut: tiles, dstFactorOut: 1, srcFactorOut: 1)
    let nothing = Transfer(memory: .uop, sramBase: 0, ySize: 0, xSize: 0, xStride: 0)
    let program = [
      Instruction(.load(transfer(.uop, microOps, 1))),
      Instruction(.load(transfer(.acc, accumulators, tiles))),
      Instruction(.alu(ALU(opcode: .add, operand: .immediate(5), loops: loops)), .pushNext),
      Instruction(.store(transfer(.out, outputs, tiles)), [.popPrev, .pushPrev]),
      Instruction(.load(nothing), .popNext),
      Instruction(.finish),
    ]
    #expect(program.count == count)
    var stream: [UInt8] = []
    for instruction in program { try set.encode(instruction).append(to: &stream) }
    bytes[microOps..<microOps + 4].copyBytes(from: [0, 0, 0, 0])
    for index in 0..<tiles * 16 {
      bytes.storeBytes(of: values(index).littleEndian, toByteOffset: accumulators + 4 * index, as: Int32.self)
    }
    UnsafeMutableRawBufferPointer(rebasing: bytes[outputs..<outputs + tiles * 16])
      .initializeMemory(as: UInt8.self, repeating: 0xEE)
    UnsafeMutableRawBufferPointer(rebasing: bytes[code...]).copyBytes(from: stream)
  }

  static func outputs(in host: ReferenceHost) -> [UInt8] {
    Array(host.memory.bytes[outputs..<outputs + tiles * 16])
  }

  static func expected(_ values: (Int) -> Int32) -> [UInt8] {
    (0..<tiles * 16).map { UInt8(truncatingIfNeeded: values($0) &+ 5) }
  }
}

extension Board {
  /// One of each register layout, base address and window.
  static let samples = ["ultra96-v2", "pynq-z1", "de10-nano", "zcu102"]

  static func sample(_ name: String) throws -> Board { try #require(Board.named(name)) }
}
