internal import SystemPackage
internal import VTA

/// Finds the registers of a board's accelerator and maps them.
struct RegisterBinding {
  let board: Board
  let kernel: any Kernel

  private var blocks: [(block: RegisterMap.Block, address: PhysicalAddress, byteCount: UInt64)] {
    board.registers.map.blocks.compactMap { block in
      board.registers.bases[block].map { ($0, UInt64(board.registers.map.byteCount(of: block))) }
        .map { (block, $0.0, $0.1) }
    }
  }

  /// Where the registers begin.
  var lowest: PhysicalAddress { blocks.map(\.address).min() ?? PhysicalAddress(0) }

  /// Through UIO: whichever devices have maps at the addresses of the board's blocks, be it one map, several, or several
  /// devices.
  /// - Parameter name: a device to look at first, by its entry or its name; `nil`: any.
  /// - Throws: ``DeviceError/noBoard(name:reasons:)``.
  func uio(_ name: String?) throws(DeviceError) -> DeviceRegisters {
    let label = name.map { "uio:\($0)" } ?? "uio"
    var devices = UIODevice.all(on: kernel)
    if let name {
      let named = devices.filter { $0.entry == name || $0.name == name }
      guard !named.isEmpty else {
        let known = devices.map { "\($0.entry) (\($0.name))" }.joined(separator: ", ")
        throw .noBoard(
          name: label, reasons: ["there is no UIO device \(name)\(known.isEmpty ? "" : ", but \(known)")"])
      }
      devices = named + devices.filter { other in !named.contains { $0.entry == other.entry } }
    }
    var mappings = Mappings(kernel: kernel)
    var places: [RegisterMap.Block: DeviceRegisters.Place] = [:]
    for (block, address, byteCount) in blocks {
      let found = devices.lazy.compactMap { device in
        device.maps.first { $0.covers(address, byteCount: byteCount) }.map { (device, $0) }
      }.first
      guard let (device, map) = found else {
        throw .noBoard(
          name: label,
          reasons: [
            "no UIO device has the \(block.rawValue) registers at \(address); bind it to uio_pdrv_genirq in the device tree"
          ])
      }
      places[block] = try mappings.place(
        at: map.pageOffset + address.rawValue - map.address.rawValue, of: map, in: device)
    }
    return try bound(
      places, label: label, path: mappings.paths.joined(separator: ", "), interrupt: mappings.interrupt)
  }

  /// Through `/dev/mem`: for any address, with the rights that this takes.
  /// - Parameter base: where the lowest block lies, if not where the board's description says.
  func physicalMemory(_ base: PhysicalAddress?) throws(DeviceError) -> DeviceRegisters {
    let start = base ?? lowest
    let label = "mem:\(start)"
    let page = UInt64(Limits.pageBytes)
    do {
      let file = try OpenFile("/dev/mem", .readWrite, .synchronous, on: kernel)
      var places: [RegisterMap.Block: DeviceRegisters.Place] = [:]
      for (block, address, byteCount) in blocks {
        let (address, overflow) = start.rawValue.addingReportingOverflow(address.rawValue - lowest.rawValue)
        guard !overflow, address <= UInt64(Int64.max) - byteCount else {
          throw DeviceError.noBoard(name: label, reasons: ["the address is beyond all memory"])
        }
        let first = address / page * page
        let size = Int((address - first + byteCount + page - 1) / page * page)
        let mapped = try kernel.mapRegisters(file.descriptor, offset: first, byteCount: size)
        places[block] = DeviceRegisters.Place(block: mapped, base: Int(address - first))
      }
      return try bound(places, label: label, path: "/dev/mem at \(start)", interrupt: nil)
    } catch let error as DeviceError {
      throw error
    } catch {
      throw .noBoard(name: label, reasons: ["\(error)"])
    }
  }

  private func bound(
    _ places: [RegisterMap.Block: DeviceRegisters.Place], label: String, path: String,
    interrupt: UIOInterrupt?
  ) throws(DeviceError) -> DeviceRegisters {
    let map = board.registers.map
    guard let registers = DeviceRegisters(map: map, path: path, places: places, interrupt: interrupt) else {
      throw .noBoard(name: label, reasons: ["its registers don't fit the layout \(map.name)"])
    }
    return registers
  }

  /// Each UIO device opened once, each of its maps mapped once.
  private struct Mappings {
    let kernel: any Kernel
    private var files: [(path: String, file: OpenFile)] = []
    private var blocks: [String: any RegisterBlock] = [:]

    init(kernel: any Kernel) { self.kernel = kernel }

    var paths: [String] { files.map(\.path) }
    /// Of the first device that has one.
    var interrupt: UIOInterrupt? { files.lazy.compactMap { UIOInterrupt($0.file) }.first }

    mutating func place(
      at offset: UInt64, of map: UIODevice.Map, in device: UIODevice
    ) throws(DeviceError) -> DeviceRegisters.Place {
      guard let byteCount = device.mappedByteCount(map), let base = Int(exactly: offset) else {
        throw .noBoard(name: device.path, reasons: ["map \(map.index) has a size or offset that no map has"])
      }
      let key = "\(device.path) \(map.index)"
      if let block = blocks[key] { return DeviceRegisters.Place(block: block, base: base) }
      do {
        let file: OpenFile
        if let open = files.first(where: { $0.path == device.path }) {
          file = open.file
        } else {
          file = try OpenFile(device.path, .readWrite, on: kernel)
          files.append((device.path, file))
        }
        let block = try kernel.mapRegisters(
          file.descriptor, offset: UIODevice.mapOffset(map), byteCount: byteCount)
        blocks[key] = block
        return DeviceRegisters.Place(block: block, base: base)
      } catch {
        throw .noBoard(name: device.path, reasons: ["\(error)"])
      }
    }
  }
}
