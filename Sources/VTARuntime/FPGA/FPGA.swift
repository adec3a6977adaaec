internal import SystemPackage

/// The FPGA of the board that this runs on, as Linux gives access to it (reference/boards-and-peers.md, C2 to C5, C8).
///
/// Calls block, for seconds where a bitstream is loaded.
package struct FPGA {
  package let board: Board
  let kernel: any Kernel

  package init(_ board: Board, on kernel: any Kernel) {
    self.board = board
    self.kernel = kernel
  }

  /// How a bitstream gets in.
  package enum Route: Hashable, Sendable {
    /// A file name is written to the attribute `firmware` of a manager, which only Xilinx's kernels have.
    case attribute(manager: String)
    /// A device tree overlay names the file, for the region at a path of `/proc/device-tree`. Needs a kernel with the
    /// overlay interface of configfs, which vendors' have.
    case overlay(manager: String, region: String)
    /// The registers of Cyclone V's manager through `/dev/mem`, where Linux has no driver that takes files from us.
    case registers

    package var description: String {
      switch self {
      case .attribute(let manager): "\(FPGAManager.folder)/\(manager)/firmware"
      case .overlay(_, let region): "a device tree overlay on \(region)"
      case .registers: "the FPGA manager's registers through /dev/mem"
      }
    }
  }

  /// The manager of this board's FPGA, if Linux has a driver for it.
  package var manager: FPGAManager? {
    let all = FPGAManager.all(on: kernel)
    return all.first { $0.isFor(board.configuration.family) } ?? all.first
  }

  /// - Throws: ``FPGAError/noRoute(board:reasons:)``.
  package func route() throws(FPGAError) -> Route {
    var reasons: [String] = []
    if let manager {
      if kernel.exists(manager.path("firmware")) { return .attribute(manager: manager.entry) }
      reasons.append("\(manager.path("firmware")) is missing, which only Xilinx's kernels have")
      if !kernel.exists(FPGAOverlay.folder) {
        reasons.append(
          "\(FPGAOverlay.folder) is missing (configfs is not mounted, or the kernel has no overlays in it)")
      } else if let region = DeviceTreeNode.all(compatible: "fpga-region", on: kernel).first {
        return .overlay(manager: manager.entry, region: region.path)
      } else {
        reasons.append("the device tree has no fpga-region")
      }
    } else {
      reasons.append("\(FPGAManager.folder) has no manager: the kernel has no driver for this FPGA")
    }
    if board.configuration.family == .cycloneV {
      if kernel.exists(SystemRegisters.path) { return .registers }
      reasons.append("\(SystemRegisters.path) is missing")
    }
    throw .noRoute(board: board.title, reasons: reasons)
  }

  /// Configures the FPGA with a bitstream, opens the way to it and puts right what Linux leaves as it was for the design
  /// before. All runs, memory of the accelerator's and registers are lost; nothing may use them meanwhile.
  ///
  /// - Returns: what the user should know although it worked.
  /// - Throws: ``FPGAError``. The FPGA is then in no state to be used, unless the error says that nothing was begun.
  package func program(_ bitstream: Bitstream) throws(FPGAError) -> [String] {
    var notes: [String]
    do {
      notes = try bitstream.check(for: board)
    } catch {
      throw .unfit(error)
    }
    let route = try route()
    try checkHeadroom(bitstream)
    switch route {
    case .attribute(let manager):
      try withFirmware(bitstream) { (name) throws(FPGAError) in
        try FPGAManager(entry: manager, kernel: kernel).load(name, byteCount: bitstream.payload.count)
      }
    case .overlay(let manager, let region):
      try withFirmware(bitstream) { (name) throws(FPGAError) in
        let overlay = FPGAOverlay(
          region: region, firmware: name, bridges: bridges.phandles(), kernel: kernel)
        try overlay.apply(FPGAManager(entry: manager, kernel: kernel), byteCount: bitstream.payload.count)
      }
    case .registers:
      try CycloneManagerRegisters(board: board, kernel: kernel).configure(bitstream.firmware)
    }
    try bridges.check()
    notes += correct()
    return notes
  }

  /// Whether the accelerator's registers may be touched: an access to an FPGA without design, or through a closed bridge,
  /// ends the program or the machine.
  package func checkAccess() throws(FPGAError) {
    if let manager {
      let state = try manager.state()
      guard state == FPGAManager.operating else {
        throw .notConfigured(board: board.title, state: state)
      }
    }
    try bridges.check()
  }

  var bridges: FPGABridges { FPGABridges(names: board.configuration.bridges, kernel: kernel) }

  // MARK: Steps

  /// ZynqMP's driver copies the whole file into one contiguous piece of CMA.
  private func checkHeadroom(_ bitstream: Bitstream) throws(FPGAError) {
    guard board.configuration.family == .zynqUltraScale, let free = ContiguousPool(on: kernel)?.freeBytes,
      free < UInt64(bitstream.payload.count)
    else { return }
    throw .noHeadroom(needed: bitstream.payload.count, free: free)
  }

  private static let firmwareFolder = "/lib/firmware"
  /// A folder in it that belongs to the daemon, which runs as a user of its own (`systemd/vtad.tmpfiles`).
  private static let ownFolder = "vta"

  /// Puts the file where the kernel looks for it, for as long as `body` runs.
  private func withFirmware(
    _ bitstream: Bitstream, _ body: (_ name: String) throws(FPGAError) -> Void
  ) throws(FPGAError) {
    let hasOwnFolder = kernel.exists("\(Self.firmwareFolder)/\(Self.ownFolder)")
    let name = "\(hasOwnFolder ? Self.ownFolder + "/" : "")vtad-\(bitstream.sha256.prefix(16)).bin"
    let path = "\(Self.firmwareFolder)/\(name)"
    defer { try? kernel.removeFile(path) }
    do {
      let file = try OpenFile(path, .writeOnly, [.create, .truncate], on: kernel)
      try file.writeAll(bitstream.firmware)
    } catch {
      throw .firmwareNotPlaced(error)
    }
    try body(name)
  }

  /// Sets the registers that a board's description names, and says where it could not.
  private func correct() -> [String] {
    var notes: [String] = []
    for bits in board.configuration.corrections {
      do {
        try SystemRegisters(on: kernel).set(bits)
      } catch {
        notes.append("0x\(String(bits.address.rawValue, radix: 16)) was not set (\(error)); \(bits.reason)")
      }
    }
    return notes
  }
}
