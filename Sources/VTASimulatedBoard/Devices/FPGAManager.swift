internal import SystemPackage
internal import VTARuntime

/// The kernel's FPGA manager as `/sys/class/fpga_manager/fpga0`, loading what its three ways of being told say
/// (reference/boards-and-peers.md, sections C2 and C3).
final class FPGAManager {
  private let fabric: Fabric
  private let files: FileTree
  private let memory: PhysicalMemory
  private var state: String
  /// Written as hexadecimal; stays from one load to the next.
  private var flags: UInt64 = 0

  private static let nameBytesMax = 255
  private static let partial: UInt64 = 1

  init(_ fabric: Fabric, _ files: FileTree, _ memory: PhysicalMemory) {
    self.fabric = fabric
    self.files = files
    self.memory = memory
    state = fabric.isConfigured ? "operating" : "unknown"
  }

  private var driverName: String {
    switch fabric.board.configuration.family {
    case .zynq7000: "Xilinx Zynq FPGA Manager"
    case .zynqUltraScale: "Xilinx ZynqMP FPGA Manager"
    case .cycloneV: "Altera SOCFPGA FPGA Manager"
    }
  }

  /// - Parameter hasFirmwareAttribute: Xilinx's kernel; others are told by device tree overlays alone.
  func add(hasFirmwareAttribute: Bool) {
    let folder = "/sys/class/fpga_manager/fpga0"
    files.add("\(folder)/name", text: driverName)
    files.add("\(folder)/state", Attribute { [unowned self] () throws(Errno) in state })
    files.add("\(folder)/status", text: "")
    guard hasFirmwareAttribute else { return }
    files.add(
      "\(folder)/flags",
      Attribute(
        permissions: 0o644, text: { [unowned self] () throws(Errno) in String(flags, radix: 16) },
        write: { [unowned self] (text) throws(Errno) in
          let digits = text.hasPrefix("0x") ? String(text.dropFirst(2)) : text
          guard let value = UInt64(digits, radix: 16) else { throw .invalidArgument }
          flags = value
        }))
    files.add(
      "\(folder)/firmware",
      Attribute(
        permissions: 0o200, read: nil,
        write: { [unowned self] (bytes) throws(Errno) in try load(Attribute.trimmed(bytes)) }))
  }

  /// Goes through the states of a configuration, as `fpga_mgr_load` does.
  /// - Parameter name: of a file in `/lib/firmware`.
  func load(_ name: String, isPartial: Bool = false) throws(Errno) {
    let fault = fabric.faults.take(.load)
    func enter(_ next: String) throws(Errno) {
      state = next
      fabric.note(.managerState(next))
      if case .load(let failing, let error) = fault, failing == "\(next) error" { try fail(failing, error) }
    }
    func fail(_ next: String, _ error: Errno) throws(Errno) {
      state = next
      fabric.note(.managerState(next))
      throw error
    }
    try enter("firmware request")
    guard !name.isEmpty, name.utf8.count <= Self.nameBytesMax,
      let file = try? files.node(at: "/lib/firmware/\(name)") as? StoredFile
    else { return try fail("firmware request error", .noSuchFileOrDirectory) }
    let image = file.contents
    try enter("write init")
    let family = fabric.board.configuration.family
    if isPartial || flags & Self.partial != 0, family == .cycloneV {
      try fail("write init error", .invalidArgument)
    }
    if family == .zynq7000, image.count % 4 != 0 || !SimulatedBitstream.isSwapped(image) {
      try fail("write init error", .invalidArgument)
    }
    fabric.clear()
    try enter("write")
    // The driver copies the whole image into one contiguous buffer.
    if family == .zynqUltraScale, !memory.hasRoom(for: UInt64(image.count)) {
      try fail("write error", .noMemory)
    }
    let refusal = fabric.configure(image)
    if refusal != nil, family == .zynqUltraScale { try fail("write error", .ioError) }
    do {
      try enter("write complete")
    } catch {
      fabric.clear()
      throw error
    }
    if refusal != nil { try fail("write complete error", .timedOut) }
    try enter("operating")
  }
}

/// Device tree overlays through configfs, as vendors' kernels have them.
final class Overlays {
  private let manager: FPGAManager
  private let fabric: Fabric
  private let files: FileTree

  init(_ manager: FPGAManager, _ fabric: Fabric, _ files: FileTree) {
    self.manager = manager
    self.fabric = fabric
    self.files = files
  }

  func add() {
    files.add(
      "/sys/kernel/config/device-tree/overlays",
      Folder(make: { [unowned self] _ throws(Errno) in overlay() }))
  }

  private final class Status {
    var isApplied = false
    var path = ""
  }

  private func overlay() -> Folder {
    let status = Status()
    let folder = Folder()
    folder["status"] = Attribute { () throws(Errno) in status.isApplied ? "applied" : "unapplied" }
    folder["path"] = Attribute(
      permissions: 0o644, text: { () throws(Errno) in status.path },
      write: { [unowned self] (path) throws(Errno) in
        guard let file = try? files.node(at: "/lib/firmware/\(path)") as? StoredFile else {
          throw .noSuchFileOrDirectory
        }
        try apply(file.contents, status)
        status.path = path
      })
    folder["dtbo"] = Attribute(
      permissions: 0o644, read: nil,
      write: { [unowned self] (bytes) throws(Errno) in try apply(bytes, status) })
    return folder
  }

  private func apply(_ blob: [UInt8], _ status: Status) throws(Errno) {
    guard !status.isApplied else { throw .resourceBusy }
    guard let name = FlattenedTree.text(of: "firmware-name", in: blob) else { throw .invalidArgument }
    fabric.setBridges(enabled: false)
    // After a failure the bridges stay as they are.
    try manager.load(
      name, isPartial: FlattenedTree.text(of: "partial-fpga-config", in: blob) != nil)
    fabric.setBridges(enabled: true)
    status.isApplied = true
  }
}

/// What the kernel reads of an overlay: one property of a flattened device tree (devicetree specification, chapter 5).
enum FlattenedTree {
  private static let beginNode: UInt32 = 1
  private static let endNode: UInt32 = 2
  private static let property: UInt32 = 3
  private static let nothing: UInt32 = 4

  /// The first property of this name in any node.
  static func text(of name: String, in blob: [UInt8]) -> String? {
    func word(_ offset: Int) -> Int? {
      guard offset >= 0, offset <= blob.count - 4 else { return nil }
      return blob[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
    }
    func string(_ offset: Int) -> String? {
      guard offset >= 0, offset < blob.count else { return nil }
      return String(decoding: blob[offset...].prefix { $0 != 0 }, as: UTF8.self)
    }
    guard word(0) == 0xD00D_FEED, var offset = word(8), let strings = word(12) else { return nil }
    while let token = word(offset) {
      offset += 4
      switch UInt32(token) {
      case beginNode:
        guard let label = string(offset) else { return nil }
        offset += (label.utf8.count + 4) / 4 * 4
      case property:
        guard let length = word(offset), let nameOffset = word(offset + 4) else { return nil }
        if string(strings + nameOffset) == name { return length == 0 ? "" : string(offset + 8) }
        offset += 8 + (length + 3) / 4 * 4
      case endNode, nothing: break
      default: return nil
      }
    }
    return nil
  }
}
