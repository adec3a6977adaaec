package import SystemPackage
package import VTA
package import VTARuntime

/// A board beneath the driver: a kernel, memory, an FPGA and the accelerator in it, as far as a driver can tell.
///
/// Calls may come from any thread; each is one step, and nothing happens between them.
///
/// What it does not show: the time that things take on hardware, the contents of scratchpads from one run to the next, and
/// that a real cache may write lines back unasked.
package final class SimulatedBoard: @unchecked Sendable {
  // SAFETY: everything mutable is touched under `lock` alone, at the entry points of this class and of MappedWindow.
  private let lock = Lock()
  package let board: Board
  let clock: Clock
  let files = FileTree()
  let memory: PhysicalMemory
  let addresses = AddressMap()
  let accelerator: Accelerator
  let fabric: Fabric
  let faults: Faults
  let journal: Journal
  /// What lives as long as the board, and nothing else refers to.
  var parts: [AnyObject] = []
  private let user: Options.User

  private var removed: [String: Node] = [:]
  private var openFiles: [CInt: OpenFileEntry] = [:]
  /// By the address that the CPU uses.
  private var mappings: [UInt: (view: MappedView, count: Int)] = [:]
  /// What each mapping of registers was made from; its descriptor may be closed.
  private var registerMappings: [OpenFileEntry] = []

  final class OpenFileEntry {
    let path: String
    let node: any OpenNode
    /// The device behind it is gone.
    var isGone = false

    init(_ path: String, _ node: any OpenNode) {
      self.path = path
      self.node = node
    }
  }

  /// Far from any descriptor of this process, so that a mix-up is an error.
  private static let firstDescriptor: CInt = 1 << 20

  package init(_ board: Board, _ options: Options = Options()) {
    self.board = board
    user = options.user
    let clock = Clock(options.clock)
    let journal = Journal(isRecording: options.isRecording)
    let faults = Faults()
    let memory = PhysicalMemory(pool: options.pool(of: board), isCoherent: options.isCoherent)
    let window = board.memory
    accelerator = Accelerator.make(
      board, hasDoneFlag: options.hasDoneFlag, clock: clock, faults: faults,
      memory: { memory.seenByDevice(window) })
    accelerator.complain = journal.complain
    fabric = Fabric(
      board, accelerator, faults: faults, areBridgesEnabled: options.areBridgesEnabled, note: journal.note,
      complain: journal.complain)
    self.clock = clock
    self.journal = journal
    self.faults = faults
    self.memory = memory
    assemble(options)
  }

  // MARK: Looking at it from outside

  /// A fault happens at an occasion of its kind, the one after `skip` others, and `times - 1` more.
  package func inject(_ fault: Fault, after skip: Int = 0, times: Int = 1) {
    lock.hold { faults.plan(fault, after: skip, times: times) }
  }

  /// Runs fail at random from now on.
  package func inject(_ random: RandomFaults) { lock.hold { faults.random = random } }

  package func clearFaults() { lock.hold { faults.clear() } }
  /// Whether a fault is still to come.
  package var hasPlannedFaults: Bool { lock.hold { !faults.isEmpty } }

  package var events: [BoardEvent] { lock.hold { journal.events } }
  /// What the driver did that real hardware would punish.
  package var complaints: [String] { lock.hold { journal.complaints } }
  package func clearRecord() { lock.hold { journal.clear() } }

  /// What the driver holds.
  package struct Usage: Hashable, Sendable {
    package var openFiles: Int
    package var mappings: Int
    package var registerMappings: Int
    /// Bytes of the contiguous pool.
    package var takenBytes: UInt64
  }

  package var usage: Usage {
    lock.hold {
      Usage(
        openFiles: openFiles.count, mappings: mappings.values.reduce(0) { $0 + $1.count },
        registerMappings: registerMappings.count, takenBytes: memory.poolByteCount - memory.freeByteCount)
    }
  }

  package var launchCount: Int { lock.hold { accelerator.launchCount } }
  /// What the fabric is configured as; `nil`: nothing.
  package var configuredTarget: Target? { lock.hold { accelerator.target } }

  /// A path and the device behind it disappear; descriptors and mappings that are open stay, and fail.
  package func remove(_ path: String) { lock.hold { vanish(path) } }

  /// What was removed is there again, for those who open it anew.
  package func restore(_ path: String) {
    lock.hold {
      if let node = removed.removeValue(forKey: path) { files.add(path, node) }
    }
  }

  /// Gives a path to a group, as udev does.
  package func setAccess(of path: String, group: UInt32, permissions: UInt32) throws(KernelError) {
    try call(.status, path) { () throws(Errno) in
      let node = try files.node(at: path)
      (node.group, node.permissions) = (group, permissions)
    }
  }

  /// Puts a file where the driver finds it.
  package func store(_ contents: [UInt8], at path: String) {
    lock.hold { files.add(path, StoredFile(contents)) }
  }

  /// Takes memory out of the pool, as another program would; given back with the token.
  package func takeFromPool(_ byteCount: UInt64) -> AnyObject? {
    lock.hold { memory.allocate(byteCount: byteCount) }
  }

  package var poolFreeBytes: UInt64 { lock.hold { memory.freeByteCount } }

  func vanish(_ path: String) {
    removed[path] = try? files.node(at: path, followsLast: false)
    files.remove(path)
    for entry in openFiles.values + registerMappings
    where entry.path == path || entry.path.hasPrefix(path + "/") {
      entry.isGone = true
    }
  }

  // MARK: Under the lock

  func install(_ node: any OpenNode, _ path: String) -> CInt {
    var descriptor = Self.firstDescriptor
    while openFiles[descriptor] != nil { descriptor += 1 }
    openFiles[descriptor] = OpenFileEntry(path, node)
    return descriptor
  }

  /// The physical memory that a CPU address is mapped to.
  func mapping(of address: UInt64) -> (block: MemoryBlock, offset: Int)? {
    for (base, mapping) in mappings {
      let view = mapping.view
      if address >= UInt64(base), address - UInt64(base) < UInt64(view.byteCount) {
        return (view.block, view.offset + Int(address - UInt64(base)))
      }
    }
    return nil
  }

  /// One call: takes its time, perhaps fails as planned, and otherwise does what `body` says.
  private func call<Result>(
    _ call: Fault.KernelCall, _ path: String, _ body: () throws(Errno) -> Result
  ) throws(KernelError) -> Result {
    try lock.hold { () throws(KernelError) in
      clock.pass(.nanoseconds(500))
      accelerator.settle()
      switch faults.take(.call(call, path: path)) {
      case .call(_, _, let error), .anyCall(let error): throw KernelError(call.rawValue, path, error)
      default: break
      }
      do throws(Errno) {
        return try body()
      } catch {
        throw KernelError(call.rawValue, path, error)
      }
    }
  }

  private func call<Result>(
    _ call: Fault.KernelCall, _ descriptor: CInt, _ body: (OpenFileEntry) throws(Errno) -> Result
  ) throws(KernelError) -> Result {
    guard let entry = lock.hold({ openFiles[descriptor] }) else {
      lock.hold { journal.complain("\(call.rawValue) of the closed descriptor \(descriptor)") }
      throw KernelError(call.rawValue, "descriptor \(descriptor)", .badFileDescriptor)
    }
    return try self.call(call, entry.path) { () throws(Errno) in
      guard !entry.isGone else { throw .operationNotSupportedByDevice }
      return try body(entry)
    }
  }

  private func node(at path: String, _ options: FileDescriptor.OpenOptions) throws(Errno) -> Node {
    do throws(Errno) {
      let node = try files.node(at: path)
      guard !options.contains(.exclusiveCreate) else { throw .fileExists }
      return node
    } catch {
      guard error == .noSuchFileOrDirectory, options.contains(.create) else { throw error }
      let (folder, name) = try files.parent(of: path)
      return try folder.makeFile(name)
    }
  }

  private func checkAccess(_ node: Node, _ mode: FileDescriptor.AccessMode) throws(Errno) {
    guard user.identifier != 0 else { return }
    let shift: UInt32 = node.owner == user.identifier ? 6 : user.groups.contains(node.group) ? 3 : 0
    let wanted: UInt32 = mode == .readOnly ? 4 : mode == .writeOnly ? 2 : 6
    guard node.permissions >> shift & wanted == wanted else { throw .permissionDenied }
  }

  fileprivate func access(_ body: () -> UInt32) -> UInt32 { lock.hold(body) }

  fileprivate func registerMappingEnded(_ entry: OpenFileEntry) {
    lock.hold {
      if let index = registerMappings.firstIndex(where: { $0 === entry }) {
        registerMappings.remove(at: index)
      }
    }
  }
}

// MARK: - Calls

extension SimulatedBoard: Kernel {
  package func open(
    _ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions
  ) throws(KernelError) -> CInt {
    try call(.open, path) { () throws(Errno) in
      let node = try node(at: path, options)
      try checkAccess(node, mode)
      let open = try node.open(OpenRequest(mode: mode, options: options))
      journal.note(.open(path))
      return install(open, path)
    }
  }

  package func close(_ descriptor: CInt) {
    lock.hold {
      if let entry = openFiles.removeValue(forKey: descriptor) {
        journal.note(.close(entry.path))
      } else {
        journal.complain("the descriptor \(descriptor) was closed twice")
      }
    }
  }

  package func read(
    _ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?
  ) throws(KernelError) -> Int {
    try call(.read, descriptor) { (entry) throws(Errno) in try entry.node.read(into: buffer, at: offset) }
  }

  package func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(KernelError) -> Int {
    try call(.write, descriptor) { (entry) throws(Errno) in
      journal.note(.write(entry.path, bytes.count <= 4096 ? Array(bytes) : []))
      return try entry.node.write(bytes)
    }
  }

  package func ioctl(
    _ descriptor: CInt, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
  ) throws(KernelError) {
    try call(.ioctl, descriptor) { (entry) throws(Errno) in
      journal.note(.ioctl(entry.path, request: request))
      try entry.node.ioctl(request, argument)
    }
  }

  package func map(
    _ descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> UnsafeMutableRawBufferPointer {
    try call(.map, descriptor) { (entry) throws(Errno) in
      let view = try entry.node.map(offset: offset, byteCount: byteCount)
      let bytes = view.bytes
      let key = UInt(bitPattern: bytes.baseAddress)
      mappings[key] = (view, (mappings[key]?.count ?? 0) + 1)
      return bytes
    }
  }

  package func unmap(_ memory: UnsafeMutableRawBufferPointer) {
    lock.hold {
      let key = UInt(bitPattern: memory.baseAddress)
      guard let mapping = mappings[key] else {
        return journal.complain("memory was unmapped that is not mapped")
      }
      mappings[key] = mapping.count > 1 ? (mapping.view, mapping.count - 1) : nil
    }
  }

  package func mapRegisters(
    _ descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> any RegisterBlock {
    try call(.mapRegisters, descriptor) { (entry) throws(Errno) in
      let window = try entry.node.registers(offset: offset, byteCount: byteCount)
      registerMappings.append(entry)
      return MappedWindow(window, self, entry)
    }
  }

  package func waitReadable(
    _ descriptor: CInt, until deadline: ContinuousClock.Instant?
  ) throws(KernelError) -> Bool {
    while true {
      let at = try call(.waitReadable, descriptor) { (entry) throws(Errno) in entry.node.readableAt }
      let now = now
      if let at, at <= now { return true }
      if let deadline, deadline <= now { return false }
      guard let next = [at, deadline].compactMap({ $0 }).min() else {
        lock.hold { journal.complain("a wait for an event that never comes, without a deadline") }
        return false
      }
      // In pieces where time is real: another thread may change what will happen.
      sleep(clock.mode == .real ? min(next - now, .milliseconds(1)) : next - now)
    }
  }

  package func status(of path: String) throws(KernelError) -> FileStatus {
    try call(.status, path) { () throws(Errno) in
      let node = try files.node(at: path)
      return FileStatus(
        kind: node.kind, permissions: node.permissions, owner: node.owner, group: node.group,
        byteCount: node.byteCount)
    }
  }

  package func entries(of folder: String) throws(KernelError) -> [String] {
    try call(.entries, folder) { () throws(Errno) in try files.folder(at: folder).children.keys.sorted() }
  }

  package func makeFolder(_ path: String) throws(KernelError) {
    try call(.makeFolder, path) { () throws(Errno) in
      let (folder, name) = try files.parent(of: path)
      try folder.makeFolder(name)
    }
  }

  package func removeFolder(_ path: String) throws(KernelError) {
    try call(.removeFolder, path) { () throws(Errno) in
      let (folder, name) = try files.parent(of: path)
      try folder.removeFolder(name)
    }
  }

  package func removeFile(_ path: String) throws(KernelError) {
    try call(.removeFile, path) { () throws(Errno) in
      let (folder, name) = try files.parent(of: path)
      try folder.removeFile(name)
    }
  }

  package var now: ContinuousClock.Instant {
    lock.hold {
      clock.pass(.nanoseconds(50))
      return clock.now
    }
  }

  package func sleep(_ duration: Duration) {
    if clock.mode == .real { return Clock.wait(duration) }
    lock.hold { clock.pass(duration) }
  }
}

// MARK: - Registers

/// Registers in a mapping of the driver's, which ends with this object.
private final class MappedWindow: RegisterBlock {
  private let window: RegisterWindow
  private let board: SimulatedBoard
  private let entry: SimulatedBoard.OpenFileEntry

  init(_ window: RegisterWindow, _ board: SimulatedBoard, _ entry: SimulatedBoard.OpenFileEntry) {
    self.window = window
    self.board = board
    self.entry = entry
  }

  deinit { board.registerMappingEnded(entry) }

  var byteCount: Int { window.byteCount }

  /// Called under the lock.
  private func find(_ offset: Int) -> (device: any RegisterDevice, offset: UInt64)? {
    guard offset >= 0, offset % 4 == 0, offset <= byteCount - 4 else {
      board.journal.complain("an access to the register offset \(offset) of \(byteCount) bytes")
      return nil
    }
    let address = window.address + UInt64(offset)
    guard let found = board.addresses.find(address) else {
      board.journal.complain("bus error at 0x\(String(address, radix: 16)): nothing is there")
      return nil
    }
    return found
  }

  func read(_ offset: Int) -> UInt32 {
    board.access {
      board.clock.pass(.nanoseconds(150))
      guard let found = find(offset) else { return .max }
      let value = entry.isGone ? .max : found.device.read(found.offset)
      board.journal.note(.readRegister(found.device.name, Int(found.offset), value))
      return value
    }
  }

  func write(_ offset: Int, _ value: UInt32) {
    _ = board.access {
      board.clock.pass(.nanoseconds(50))
      guard let found = find(offset) else { return 0 }
      board.journal.note(.writeRegister(found.device.name, Int(found.offset), value))
      if !entry.isGone { found.device.write(found.offset, value) }
      return 0
    }
  }

  func publishMemory() {
    _ = board.access {
      board.journal.note(.publishMemory)
      return 0
    }
  }

  func acquireMemory() {
    _ = board.access {
      board.journal.note(.acquireMemory)
      return 0
    }
  }
}
