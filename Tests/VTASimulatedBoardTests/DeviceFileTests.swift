import SystemPackage
import Testing
import VTARuntime

@testable import VTASimulatedBoard

/// Files and device nodes, as drivers find them (reference/boards-and-peers.md, sections C6 to C9).
@Suite struct DeviceFileTests {
  private func board(
    _ name: String = "ultra96-v2", _ change: (inout SimulatedBoard.Options) -> Void = { _ in }
  ) throws -> SimulatedBoard {
    var options = SimulatedBoard.Options()
    change(&options)
    return SimulatedBoard(try .sample(name), options)
  }

  @Test func deviceTreeAndMemory() throws {
    let board = try board("zcu102")
    let compatible = try board.bytes(of: "/proc/device-tree/compatible")
    #expect(compatible.last == 0)
    #expect(String(decoding: compatible, as: UTF8.self).contains("xlnx,zynqmp"))
    #expect(try board.text(of: "/proc/meminfo").contains("CmaTotal:       262144 kB"))
    #expect(try board.text(of: "/proc/cmdline").contains("cma=256M"))
  }

  @Test func pathsThatAreNotThere() throws {
    let board = try board()
    func code(_ path: String) -> Errno? {
      do {
        _ = try board.text(of: path)
        return nil
      } catch { return error.code }
    }
    #expect(code("/dev/uio9") == .noSuchFileOrDirectory)
    #expect(code("/dev/uio0/name") == .notDirectory)
    #expect(code("/sys/class/uio") == .isDirectory)
    #expect(try board.entries(of: "/sys/class/uio") == ["uio0", "uio1", "uio2", "uio3"])
  }

  @Test func uioMaps() throws {
    let board = try board { $0.registers = .uioMaps }
    #expect(try board.entries(of: "/sys/class/uio/uio0/maps") == ["map0", "map1", "map2", "map3"])
    #expect(try board.number(of: "/sys/class/uio/uio0/maps/map2/addr") == 0xA000_2000)
    let file = try OpenFile("/dev/uio0", .readWrite, on: board)
    // The page number chooses the map.
    let compute = try board.mapRegisters(file.descriptor, offset: 2 * 4096, byteCount: 4096)
    compute.write(0x20, 7)
    #expect(compute.read(0x20) == 7)
    #expect(throws: KernelError.self) {
      try board.mapRegisters(file.descriptor, offset: 4 * 4096, byteCount: 4096)
    }
    #expect(throws: KernelError.self) {
      try board.mapRegisters(file.descriptor, offset: 0, byteCount: 8192)
    }
    #expect(throws: KernelError.self, "no interrupt") { try file.writeAll([1, 0, 0, 0]) }
    #expect(board.events.contains(.writeRegister("compute", 0x20, 7)))
  }

  @Test func uioInterrupt() throws {
    let board = try board("de10-nano") { $0.hasInterrupt = true }
    let host = try ReferenceHost(board)
    try TinyProgram.place(in: host) { Int32($0) }
    let file = try OpenFile("/dev/uio0", .readWrite, on: board)
    #expect(try !board.waitReadable(file.descriptor, until: board.now + .milliseconds(5)))
    host.start(TinyProgram.code, count: TinyProgram.count)
    let before = board.now
    #expect(try board.waitReadable(file.descriptor, until: before + .seconds(5)))
    #expect(board.now < before + .milliseconds(1), "the interrupt, not the deadline")
    var count: [UInt8] = [0, 0, 0, 0]
    #expect(try count.withUnsafeMutableBytes { try board.read(file.descriptor, into: $0, at: nil) } == 4)
    #expect(count == [1, 0, 0, 0])
    // Masked now, until it is written to.
    host.start(TinyProgram.code, count: TinyProgram.count)
    #expect(try !board.waitReadable(file.descriptor, until: board.now + .milliseconds(5)))
    try file.writeAll([1, 0, 0, 0])
    #expect(try board.waitReadable(file.descriptor, until: board.now + .milliseconds(5)))
  }

  @Test func strictDevmem() throws {
    let board = try board { $0.memory = [.udmabuf(1 << 20), .reserved(1 << 20)] }
    let mem = try OpenFile("/dev/mem", .readWrite, on: board)
    let ram = try board.number(of: "/sys/class/u-dma-buf/udmabuf0/phys_addr")
    let error = #expect(throws: KernelError.self) {
      try board.map(mem.descriptor, offset: ram, byteCount: 4096)
    }
    #expect(error?.code == .notPermitted)
    // What the device tree keeps from the kernel is no RAM.
    let kept = try board.number(of: "/sys/class/uio/uio4/maps/map0/addr")
    let memory = try MappedMemory(mem, offset: kept, byteCount: 4096)
    memory.bytes[0] = 7
    let uio = try OpenFile("/dev/uio4", .readWrite, on: board)
    #expect(try MappedMemory(uio, byteCount: 1 << 20).bytes[0] == 7)
  }

  @Test(arguments: [true, false]) func udmabufSynchronises(throughIoctl: Bool) throws {
    let board = try board { $0.isCoherent = false }
    let file = try OpenFile("/dev/udmabuf0", .readWrite, on: board)
    let uncached = try OpenFile("/dev/udmabuf0", .readWrite, .init(rawValue: 0o4_010_000), on: board)
    var size: UInt64 = 0
    try file.ioctl(0x8008_5502, "GET_SIZE", &size)
    #expect(size == 64 << 20)
    var address: UInt64 = 0
    try file.ioctl(0x8008_5503, "GET_DMA_ADDR", &address)
    #expect(try address == board.number(of: "/sys/class/u-dma-buf/udmabuf0/phys_addr"))
    let cpu = try MappedMemory(file, byteCount: 1 << 16).bytes
    let device = try MappedMemory(uncached, byteCount: 1 << 16).bytes
    func synchronise(_ attribute: String, _ request: UInt, _ command: UInt64) throws {
      var command = command
      if throughIoctl { return try file.ioctl(request, attribute, &command) }
      try board.write("0x" + String(command, radix: 16), to: "/sys/class/u-dma-buf/udmabuf0/\(attribute)")
    }
    cpu[0x1000] = 1
    cpu[0x2000] = 2
    #expect(device[0x1000] == 0, "still in the cache")
    try synchronise("sync_for_device", 0x4008_5506, 0x1000 << 32 | 0x10 | 1 << 2 | 1)
    #expect(device[0x1000] == 1)
    #expect(device[0x2000] == 0, "another line")
    device[0x1000] = 3
    #expect(cpu[0x1000] == 1, "the cache has its own")
    try synchronise("sync_for_cpu", 0x4008_5505, 0x1000 << 32 | 0x10 | 2 << 2 | 1)
    #expect(cpu[0x1000] == 3)
    #expect(throws: KernelError.self) {
      try synchronise("sync_for_cpu", 0x4008_5505, 0xFFFF_FFFF << 32 | 0x10 | 1)
    }
    var unknown: UInt64 = 0
    let error = #expect(throws: KernelError.self) { try file.ioctl(0x8008_5563, "?", &unknown) }
    #expect(error?.code == .inappropriateIOCTLForDevice)
  }

  @Test func udmabufMapsAroundTheCacheAsItsModeSays() throws {
    let board = try board { $0.isCoherent = false }
    func bytes(_ options: FileDescriptor.OpenOptions) throws -> MappedMemory {
      try MappedMemory(try OpenFile("/dev/udmabuf0", .readWrite, options, on: board), byteCount: 4096)
    }
    let sync = FileDescriptor.OpenOptions(rawValue: 0o4_010_000)
    for (mode, cached, synchronous) in [(0, true, true), (2, true, false), (5, false, false)] {
      try board.write("\(mode)", to: "/sys/class/u-dma-buf/udmabuf0/sync_mode")
      let plain = try bytes([]).bytes.baseAddress
      let synced = try bytes(sync).bytes.baseAddress
      #expect((plain == synced) == (cached == synchronous))
    }
    #expect(throws: KernelError.self) {
      try board.write("8", to: "/sys/class/u-dma-buf/udmabuf0/sync_mode")
    }
  }

  @Test func aSliceOfAUDMABufAsADescriptor() throws {
    let board = try board()
    let file = try OpenFile("/dev/udmabuf0", .readWrite, on: board)
    var argument: (UInt64, UInt64, UInt64, UInt64, CInt, CInt) = (0, 0x2000, 0x1000, 0, 0, 0)
    try file.ioctl(0xC028_550A, "EXPORT", &argument)
    let whole = try MappedMemory(file, byteCount: 0x4000)
    let part = try board.map(argument.4, offset: 0, byteCount: 0x2000)
    part[5] = 9
    #expect(whole.bytes[0x1005] == 9)
    board.unmap(part)
    board.close(argument.4)
  }

  @Test(arguments: [true, false]) func dmaHeap(showsFrames: Bool) throws {
    let board = try board {
      $0.memory = [.dmaHeap]
      $0.showsPageFrames = showsFrames
    }
    let free = board.poolFreeBytes
    let heap = try OpenFile("/dev/dma_heap/linux,cma", .readWrite, on: board)
    var argument: (UInt64, UInt32, UInt32, UInt64) = (3 << 20, 0, 0o2_000_002, 0)
    try heap.ioctl(0xC018_4800, "DMA_HEAP_IOCTL_ALLOC", &argument)
    #expect(board.poolFreeBytes == free - 3 << 20)
    let descriptor = CInt(bitPattern: argument.1)
    let bytes = try board.map(descriptor, offset: 0, byteCount: 3 << 20)
    let pages = try OpenFile("/proc/self/pagemap", .readOnly, on: board)
    var entries: [UInt64] = [0, 0]
    let start = Int64(UInt(bitPattern: bytes.baseAddress) / 4096 * 8)
    _ = try entries.withUnsafeMutableBytes { try board.read(pages.descriptor, into: $0, at: start) }
    #expect(entries.allSatisfy { $0 >> 63 == 1 })
    let frames = entries.map { $0 & (1 << 55 - 1) }
    #expect(showsFrames ? frames[0] > 0 && frames[1] == frames[0] + 1 : frames == [0, 0])
    board.close(descriptor)
    #expect(board.poolFreeBytes == free - 3 << 20, "the mapping keeps it")
    board.unmap(bytes)
    #expect(board.poolFreeBytes == free)
    argument.0 = 1 << 40
    #expect(throws: KernelError.self) { try heap.ioctl(0xC018_4800, "DMA_HEAP_IOCTL_ALLOC", &argument) }
  }

  @Test func cmaDevice() throws {
    let board = try board("de10-nano") { $0.memory = [.cmaDevice] }
    let file = try OpenFile("/dev/cma", .readWrite, on: board)
    let free = board.poolFreeBytes
    var argument: UInt32 = 5000
    try file.ioctl(0xC004_F201, "CMA_ALLOC_CACHED", &argument)
    #expect(UInt64(argument) >= 1 << 29 && argument < 1 << 30)
    #expect(board.poolFreeBytes == free - 8192, "whole pages")
    let bytes = try board.map(file.descriptor, offset: UInt64(argument), byteCount: 8192)
    var virtual = UInt32(truncatingIfNeeded: UInt(bitPattern: bytes.baseAddress))
    var size = virtual
    try file.ioctl(0xC004_F205, "CMA_GET_SIZE", &size)
    #expect(size == 8192)
    board.unmap(bytes)
    #expect(board.poolFreeBytes == free - 8192, "a buffer lives until it is freed")
    try file.ioctl(0x4004_F203, "CMA_FREE", &virtual)
    #expect(board.poolFreeBytes == free)
    #expect(throws: KernelError.self) { try board.map(file.descriptor, offset: 0, byteCount: 4096) }
  }

  @Test func hugePages() throws {
    let board = try board { $0.memory = [.hugePages] }
    do {
      let file = try OpenFile("/dev/hugepages/vtad", .readWrite, [.create], on: board)
      #expect(throws: KernelError.self) { try MappedMemory(file, byteCount: 4096) }
      let memory = try MappedMemory(file, byteCount: 4 << 20)
      memory.bytes[3 << 20] = 1
      #expect(try board.status(of: "/dev/hugepages/vtad").byteCount == 4 << 20)
    }
    try board.removeFile("/dev/hugepages/vtad")
    #expect(!board.exists("/dev/hugepages/vtad"))
  }

  @Test func whatIsHeldIsCounted() throws {
    let board = try board()
    let idle = board.usage
    do {
      let host = try ReferenceHost(board)
      #expect(board.usage.openFiles == idle.openFiles + 2)
      #expect(board.usage.mappings == 1)
      #expect(board.usage.registerMappings == 1)
      withExtendedLifetime(host) {}
    }
    #expect(board.usage == idle)
    board.close(77)
    #expect(board.complaints == ["the descriptor 77 was closed twice"])
  }

  @Test func aVanishedDeviceFailsOpenDescriptorsToo() throws {
    let board = try board()
    let file = try OpenFile("/dev/uio0", .readWrite, on: board)
    let registers = try board.mapRegisters(file.descriptor, offset: 0, byteCount: 4096)
    board.remove("/dev/uio0")
    #expect(!board.exists("/dev/uio0"))
    #expect(throws: KernelError.self) { try board.mapRegisters(file.descriptor, offset: 0, byteCount: 4096) }
    #expect(registers.read(0) == .max)
  }

  @Test func permissions() throws {
    let board = try board { $0.user = .init(identifier: 990, groups: [44]) }
    let error = #expect(throws: KernelError.self) { try OpenFile("/dev/uio0", .readWrite, on: board) }
    #expect(error?.description == "open /dev/uio0: permission denied")
    try board.setAccess(of: "/dev/uio0", group: 44, permissions: 0o660)
    _ = try OpenFile("/dev/uio0", .readWrite, on: board)
  }

  /// Nothing that belongs to a board keeps it alive.
  @Test(arguments: Subject.boards) func boardsAreReleased(subject: Subject) throws {
    weak var board: SimulatedBoard?
    do {
      let opened = try subject.open()
      board = opened.board
      #expect(board != nil)
      withExtendedLifetime(opened) {}
    }
    #expect(board == nil)
  }

  @Test func plannedFailuresOfCalls() throws {
    let board = try board()
    board.inject(.call(.open, path: "/dev/udmabuf", .tooManyOpenFiles), after: 1)
    _ = try OpenFile("/dev/udmabuf0", .readWrite, on: board)
    _ = try OpenFile("/dev/uio0", .readWrite, on: board)
    let error = #expect(throws: KernelError.self) { try OpenFile("/dev/udmabuf0", .readWrite, on: board) }
    #expect(error?.code == .tooManyOpenFiles)
    _ = try OpenFile("/dev/udmabuf0", .readWrite, on: board)
  }
}
