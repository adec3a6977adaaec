internal import SystemPackage
internal import VTA

/// Memory that Linux leaves alone. The CPU goes around its caches in all of it.
enum ReservedMemory {
  /// A map of a UIO device, from `offset` on.
  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)``.
  static func uio(
    _ device: UIODevice, _ map: UIODevice.Map, from offset: UInt64 = 0, on kernel: any Kernel
  ) throws(DeviceError) -> FixedMemory {
    let name = "uio \(device.path) map \(map.index)"
    guard let mapped = device.mappedByteCount(map), offset < map.byteCount,
      (map.address.rawValue + offset) % Limits.regionAlignment == 0
    else {
      throw .memoryUnusable(
        name: name,
        reason: "it has \(map.byteCount) bytes at \(map.address), and \(offset) are taken by registers")
    }
    let start = Int(map.pageOffset + offset)
    return FixedMemory(name: name, modes: [.uncached], byteCount: map.byteCount - offset) {
      (_) throws(DeviceError) in
      do {
        let file = try OpenFile(device.path, .readWrite, on: kernel)
        let memory = try MappedMemory(file, offset: UIODevice.mapOffset(map), byteCount: mapped)
        let bytes = memory.bytes[start..<start + Int(map.byteCount - offset)]
        return ContiguousBlock(
          physicalAddress: PhysicalAddress(map.address.rawValue + offset),
          bytes: UnsafeMutableRawBufferPointer(rebasing: bytes), access: .aligned,
          release: { withExtendedLifetime(memory) {} })
      } catch {
        throw .memoryUnusable(name: name, reason: "\(error)")
      }
    }
  }

  /// A node of the device tree's `reserved-memory`, through `/dev/mem`, which the kernel allows where the node says
  /// `no-map`.
  /// - Parameter wanted: its name without the address; `nil`: the one whose name has `vta` in it.
  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)``.
  static func deviceTree(_ wanted: String?, on kernel: any Kernel) throws(DeviceError) -> FixedMemory {
    let nodes = (try? kernel.entries(of: folder)) ?? []
    let found = nodes.first { node in
      let name = node.prefix { $0 != "@" }
      return wanted.map { $0 == name || $0 == node } ?? name.contains("vta")
    }
    guard let node = found else {
      throw .memoryUnusable(
        name: "reserved memory",
        reason: "the device tree has no reserved-memory node \(wanted ?? "with vta in its name")")
    }
    let name = "reserved memory \(node)"
    let (address, byteCount) = try range(of: node, name: name, on: kernel)
    guard address % Limits.regionAlignment == 0, let size = Int(exactly: byteCount) else {
      throw .memoryUnusable(name: name, reason: "it does not start on a page")
    }
    return FixedMemory(name: name, modes: [.uncached], byteCount: byteCount) { (_) throws(DeviceError) in
      do {
        let file = try OpenFile("/dev/mem", .readWrite, .synchronous, on: kernel)
        let memory = try MappedMemory(file, offset: address, byteCount: size)
        return ContiguousBlock(
          physicalAddress: PhysicalAddress(address), bytes: memory.bytes, access: .aligned,
          release: { withExtendedLifetime(memory) {} })
      } catch {
        throw .memoryUnusable(name: name, reason: "\(error)")
      }
    }
  }

  private static let folder = "/proc/device-tree/reserved-memory"

  /// The first entry of `reg`: big-endian cells, as many as the parent says.
  private static func range(
    of node: String, name: String, on kernel: any Kernel
  ) throws(DeviceError) -> (address: UInt64, byteCount: UInt64) {
    do {
      let addressBytes = Int(try cell("#address-cells", on: kernel)) * 4
      let sizeBytes = Int(try cell("#size-cells", on: kernel)) * 4
      let reg = try kernel.bytes(of: "\(folder)/\(node)/reg")
      guard (4...8).contains(addressBytes), (4...8).contains(sizeBytes), reg.count >= addressBytes + sizeBytes
      else { throw KernelError("read", "\(folder)/\(node)/reg", .invalidArgument) }
      func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
      let address = number(reg[..<addressBytes])
      let size = number(reg[addressBytes..<addressBytes + sizeBytes])
      guard size > 0, address <= UInt64.max - size else {
        throw KernelError("read", "\(folder)/\(node)/reg", .invalidArgument)
      }
      return (address, size)
    } catch {
      throw .memoryUnusable(name: name, reason: "\(error)")
    }
  }

  private static func cell(_ name: String, on kernel: any Kernel) throws(KernelError) -> UInt8 {
    let path = "\(folder)/\(name)"
    guard let last = try kernel.bytes(of: path).last else {
      throw KernelError("read", path, .invalidArgument)
    }
    return last
  }
}
