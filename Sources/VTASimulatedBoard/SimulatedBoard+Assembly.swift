internal import SystemPackage
package import VTA
internal import VTARuntime

extension SimulatedBoard {
  /// What a board's image and its owner have made of it.
  package struct Options: Sendable {
    package enum Clock: Sendable {
      /// The time of this machine; waiting takes as long as it says.
      case real
      /// Goes on by what the board does and how long the driver sleeps: nothing is ever waited for.
      case simulated
    }

    /// Where registers are found.
    package enum RegisterAccess: Sendable {
      /// A UIO device for each block.
      case uio
      /// One UIO device with a map for each block.
      case uioMaps
      /// `/dev/mem` alone.
      case mem
    }

    package enum MemorySource: Hashable, Sendable {
      /// `/dev/udmabuf0` of this many bytes.
      case udmabuf(UInt64)
      /// The same, of a module before release 4.7.
      case oldUDMABuf(UInt64)
      case dmaHeap
      case cmaDevice
      case hugePages
      /// Kept from the kernel by the device tree; a UIO map.
      case reserved(UInt64)
    }

    /// How the kernel is told to configure the FPGA.
    package enum Configuration: Sendable {
      case firmwareAttribute
      case overlays
      /// No driver at all: registers of the FPGA manager.
      case registers
    }

    package struct User: Sendable {
      package var identifier: UInt32
      package var groups: Set<UInt32>

      package init(identifier: UInt32 = 0, groups: Set<UInt32> = []) {
        self.identifier = identifier
        self.groups = groups
      }
    }

    package var clock = Clock.simulated
    /// Whether the accelerator's port really sees the CPU's caches.
    package var isCoherent = true
    /// What the device tree says of it.
    package var claimsCoherent = true
    package var registers = RegisterAccess.uio
    /// Whether the design has an interrupt. None of the published ones has.
    package var hasInterrupt = false
    package var memory: [MemorySource] = [.udmabuf(64 << 20)]
    package var configuration = Configuration.firmwareAttribute
    /// What boot software left in the FPGA; `nil`: nothing. Default: the board's own target.
    package var loaded: Target??
    package var areBridgesEnabled = true
    /// Switches of the DE10-Nano.
    package var msel: UInt32 = 0b01010
    /// Size of the contiguous pool.
    package var poolBytes: UInt64 = 256 << 20
    /// Whether pagemap shows frame numbers: not from Linux 6.8 on for dma-heap buffers, nor without CAP_SYS_ADMIN.
    package var showsPageFrames = true
    package var user = User()
    /// Whether the flag behind `done` works. What generates the registers says it does; no board was asked.
    package var hasDoneFlag = true
    package var isRecording = true

    package init() {}

    /// For programs: a board whose runs take as long as they take, and that keeps no record of them.
    package static var onRealTime: Options {
      var options = Options()
      options.clock = .real
      options.isRecording = false
      return options
    }

    /// Ends 4 MiB below the end of what the accelerator reaches, as on a ZCU102 (reference/boards-and-peers.md, A7).
    func pool(of board: Board) -> Range<UInt64> {
      let end = board.memory.limit.rawValue - 4 << 20
      return end - poolBytes..<end
    }
  }

  /// Puts everything together that the board has.
  func assemble(_ options: Options) {
    accelerator.vanish = { [unowned self] in vanish($0) }
    if let target = options.loaded ?? board.target { fabric.configure(target) }
    assembleRegisters()
    let reserved = assembleMemory(options)
    assembleUIO(options, reserved)
    assembleConfiguration(options)
    assembleSystem(options)
    MemDevice.add(to: files, memory) { block in block === reserved }
  }

  private func assembleRegisters() {
    for (index, block) in board.registers.map.blocks.enumerated() {
      guard let base = board.registers.bases[block] else { continue }
      addresses.add(
        base.rawValue, byteCount: board.registers.window, AcceleratorBlock(index, of: accelerator, in: fabric)
      )
    }
    let corrections = board.configuration.corrections + board.coherency.needs
    for page in Set(corrections.map { $0.address.rawValue / PhysicalMemory.pageBytes }) {
      let address = page * PhysicalMemory.pageBytes
      addresses.add(
        address, byteCount: PhysicalMemory.pageBytes, PlainRegisters("0x" + String(address, radix: 16)))
    }
  }

  /// - Returns: the block that the device tree keeps from the kernel, if there is one.
  private func assembleMemory(_ options: Options) -> MemoryBlock? {
    var reserved: MemoryBlock?
    for source in options.memory {
      switch source {
      case .udmabuf(let byteCount), .oldUDMABuf(let byteCount):
        var hasIoctls = true
        if case .oldUDMABuf = source { hasIoctls = false }
        guard let block = memory.allocate(byteCount: byteCount) else { continue }
        let device = UDMABufDevice(
          "udmabuf0", block, claimsCoherent: options.claimsCoherent, hasIoctls: hasIoctls,
          install: { [unowned self] in install($0, $1) }, note: journal.note)
        device.add(to: files)
        parts.append(device)
      case .dmaHeap:
        DMAHeap.add("linux,cma", to: files, memory) { [unowned self] in install($0, $1) }
      case .cmaDevice: CMADevice.add(to: files, memory)
      case .hugePages:
        // Not from the pool: pages of the kernel's, below it.
        let size: UInt64 = 64 << 20
        let pages = PhysicalMemory(
          pool: memory.pool.lowerBound - size..<memory.pool.lowerBound, isCoherent: options.isCoherent)
        memory.neighbours.append(pages)
        HugePageFile.add(to: files, pages)
        files.add("/proc/mounts", text: "hugetlbfs /dev/hugepages hugetlbfs rw,relatime,pagesize=2M 0 0")
      case .reserved(let byteCount):
        guard let count = Int(exactly: byteCount) else { continue }
        reserved = memory.reserve(
          address: memory.pool.lowerBound - (128 << 20) - byteCount, byteCount: count)
        if let reserved {
          parts.append(reserved)
          describe(reserved)
        }
      }
    }
    return reserved
  }

  /// As a node of the device tree, with two cells for addresses and two for sizes.
  private func describe(_ reserved: MemoryBlock) {
    func cells(_ values: UInt64...) -> Attribute {
      let bytes = values.flatMap { value in withUnsafeBytes(of: value.bigEndian) { Array($0) } }
      return Attribute(permissions: 0o444, read: { () throws(Errno) in bytes })
    }
    let two: Attribute.Read = { () throws(Errno) in [0, 0, 0, 2] }
    let folder = "/proc/device-tree/reserved-memory"
    let node = "\(folder)/vta@\(String(reserved.address, radix: 16))"
    files.add("\(folder)/#address-cells", Attribute(permissions: 0o444, read: two))
    files.add("\(folder)/#size-cells", Attribute(permissions: 0o444, read: two))
    files.add("\(node)/reg", cells(reserved.address, UInt64(reserved.byteCount)))
    files.add("\(node)/no-map", Attribute(permissions: 0o444, read: { () throws(Errno) in [] }))
  }

  private func assembleUIO(_ options: Options, _ reserved: MemoryBlock?) {
    var devices: [(name: String, maps: [UIODevice.Map])] = []
    let blocks = board.registers.map.blocks.compactMap { block in
      board.registers.bases[block].map { base in
        UIODevice.Map(
          name: block.rawValue, address: base.rawValue, byteCount: board.registers.window,
          contents: .registers)
      }
    }
    switch options.registers {
    case .uio: devices = blocks.map { (blocks.count == 1 ? "vta" : "vta-\($0.name)", [$0]) }
    case .uioMaps: devices = [("vta", blocks)]
    case .mem: break
    }
    if let reserved {
      let map = UIODevice.Map(
        name: "vta-memory", address: reserved.address, byteCount: UInt64(reserved.byteCount),
        contents: .memory(reserved))
      devices.append(("vta-memory", [map]))
    }
    for (number, entry) in devices.enumerated() {
      let isInterrupting = options.hasInterrupt && number == 0
      let device = UIODevice(
        number: number, name: entry.name, maps: entry.maps, clock: clock,
        interruptAt: isInterrupting ? { [unowned self] in accelerator.endsAt } : nil)
      if isInterrupting { accelerator.interrupt = { [unowned device] in device.interrupt() } }
      device.add(to: files)
      parts.append(device)
    }
  }

  private func assembleConfiguration(_ options: Options) {
    files.add("/lib/firmware", Folder(makeFile: { _ throws(Errno) in StoredFile() }))
    for (index, bridge) in fabric.bridges.enumerated() {
      files.add("/sys/class/fpga_bridge/br\(index)/name", text: bridge.name)
      files.add(
        "/sys/class/fpga_bridge/br\(index)/state",
        Attribute { [unowned self] () throws(Errno) in
          fabric.bridges[index].isEnabled ? "enabled" : "disabled"
        })
    }
    // There on every Cyclone V, whoever drives them.
    if board.configuration.family == .cycloneV {
      let manager = CycloneManager(fabric, msel: options.msel)
      addresses.add(CycloneManager.address, byteCount: 0x1000, manager)
      addresses.add(CycloneManager.dataAddress, byteCount: 0x1000, CycloneManager.DataPort(manager))
      addresses.add(CycloneResets.address, byteCount: 0x1000, CycloneResets(fabric))
    }
    if options.configuration == .registers {
      return
    }
    let manager = FPGAManager(fabric, files, memory)
    manager.add(hasFirmwareAttribute: options.configuration == .firmwareAttribute)
    parts.append(manager)
    if options.configuration == .overlays {
      let overlays = Overlays(manager, fabric, files)
      overlays.add()
      parts.append(overlays)
      files.add("/proc/device-tree/fpga-full/compatible", text: "fpga-region\0")
    }
  }

  private func assembleSystem(_ options: Options) {
    let tree = board.deviceTree
    let terminated: ([String]) -> Attribute = { strings in
      Attribute(
        permissions: 0o444, read: { () throws(Errno) in strings.flatMap { Array($0.utf8) + [0] } })
    }
    let family =
      switch board.configuration.family {
      case .zynq7000: "xlnx,zynq-7000"
      case .zynqUltraScale: "xlnx,zynqmp"
      case .cycloneV: "altr,socfpga-cyclone5"
      }
    files.add("/proc/device-tree/compatible", terminated(tree.compatible + [family]))
    files.add("/proc/device-tree/model", terminated([tree.models.first ?? board.title]))
    if let name = tree.pynqBoards.first {
      files.add("/proc/device-tree/chosen/pynq_board", terminated([name]))
    }
    files.add(
      "/proc/cmdline",
      text:
        "root=/dev/mmcblk0p2 rw rootwait cma=\(options.poolBytes >> 20)M uio_pdrv_genirq.of_id=generic-uio")
    files.add("/proc/sys/kernel/osrelease", text: "5.15.36-xilinx")
    files.add(
      "/proc/meminfo",
      Attribute { [unowned self] () throws(Errno) in
        """
        MemTotal:       \(board.memory.limit.rawValue >> 10) kB
        CmaTotal:       \(memory.poolByteCount >> 10) kB
        CmaFree:        \(memory.freeByteCount >> 10) kB
        Hugepagesize:       2048 kB
        """
      })
    files.add(
      "/proc/self/pagemap",
      DeviceNode(permissions: 0o400) { [unowned self] _ throws(Errno) in
        PageMap(showsFrames: options.showsPageFrames) { [unowned self] in mapping(of: $0) }
      })
  }
}

/// `/proc/self/pagemap`: 64 bits for each page of the process (linux: Documentation/admin-guide/mm/pagemap.rst).
private final class PageMap: OpenNode {
  private let showsFrames: Bool
  private let find: (UInt64) -> (block: MemoryBlock, offset: Int)?

  init(showsFrames: Bool, find: @escaping (UInt64) -> (block: MemoryBlock, offset: Int)?) {
    self.showsFrames = showsFrames
    self.find = find
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?) throws(Errno) -> Int {
    guard let offset, offset >= 0, offset % 8 == 0, buffer.count % 8 == 0 else { throw .invalidArgument }
    for index in 0..<buffer.count / 8 {
      let address = (UInt64(offset) / 8 + UInt64(index)) * PhysicalMemory.pageBytes
      var entry: UInt64 = 0
      if let (block, offset) = find(address) {
        entry = 1 << 63
        if showsFrames { entry |= (block.address + UInt64(offset)) / PhysicalMemory.pageBytes }
      }
      buffer.storeBytes(of: entry, toByteOffset: 8 * index, as: UInt64.self)
    }
    return buffer.count
  }
}
