internal import SystemPackage

/// Buffers of the u-dma-buf kernel module (github.com/ikwzm/udmabuf): contiguous, with cache maintenance.
///
/// Release 4.7 and later answer ioctls; older ones have the same as attributes in sysfs.
enum UDMABuf {
  /// Where releases before 2.0 and after put their attributes.
  static let classes = ["/sys/class/u-dma-buf", "/sys/class/udmabuf"]

  /// Names of all buffers, as in `/dev`.
  static func names(on kernel: any Kernel) -> [String] {
    classes.compactMap { try? kernel.entries(of: $0) }.first { !$0.isEmpty } ?? []
  }

  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)``.
  static func memory(_ name: String, on kernel: any Kernel) throws(DeviceError) -> FixedMemory {
    let label = "u-dma-buf /dev/\(name)"
    do {
      let buffer = try Buffer(name, on: kernel)
      return FixedMemory(name: label, modes: buffer.modes, byteCount: buffer.byteCount) {
        (mode) throws(DeviceError) in
        do {
          return try buffer.block(mode)
        } catch {
          throw .memoryUnusable(name: label, reason: "\(error)")
        }
      }
    } catch {
      throw .memoryUnusable(name: label, reason: "\(error)")
    }
  }

  /// Magic 'U' of u-dma-buf-ioctl.h.
  private static func request(_ direction: IOCode.Direction, _ number: UInt8) -> UInt {
    IOCode.request(direction, UInt8(ascii: "U"), number, byteCount: 8)
  }

  private static let getSize = request(.read, 2)
  private static let getAddress = request(.read, 3)
  private static let setSyncForCPU = request(.write, 5)
  private static let setSyncForDevice = request(.write, 6)

  private struct Buffer {
    let path: String
    let attributes: String
    let kernel: any Kernel
    let hasIoctls: Bool
    let byteCount: UInt64
    let physicalAddress: PhysicalAddress
    /// How the driver maps: 1…3 go around the cache only for descriptors opened with O_SYNC, 5…7 always.
    let syncMode: UInt64

    init(_ name: String, on kernel: any Kernel) throws(KernelError) {
      path = "/dev/\(name)"
      attributes =
        UDMABuf.classes.map { "\($0)/\(name)" }.first(where: kernel.exists) ?? "\(UDMABuf.classes[0])/\(name)"
      self.kernel = kernel
      let file = try OpenFile(path, .readWrite, on: kernel)
      var size: UInt64 = 0
      var address: UInt64 = 0
      do throws(KernelError) {
        try file.ioctl(UDMABuf.getSize, "U_DMA_BUF_IOCTL_GET_SIZE", &size)
        try file.ioctl(UDMABuf.getAddress, "U_DMA_BUF_IOCTL_GET_DMA_ADDR", &address)
        hasIoctls = true
      } catch  where error.code == .inappropriateIOCTLForDevice || error.code == .invalidArgument {
        size = try kernel.number(of: "\(attributes)/size")
        address = try kernel.number(of: "\(attributes)/phys_addr")
        hasIoctls = false
      }
      byteCount = size
      physicalAddress = PhysicalAddress(address)
      syncMode = (try? kernel.number(of: "\(attributes)/sync_mode")) ?? 1
    }

    var modes: [Coherency] { syncMode >= 5 ? [.uncached] : Coherency.allCases }

    func block(_ mode: Coherency) throws(KernelError) -> ContiguousBlock {
      var options: FileDescriptor.OpenOptions = []
      var access = ContiguousBlock.Access.any
      if mode == .uncached {
        access = try prepareUncached()
        options = .synchronous
      }
      let file = try OpenFile(path, .readWrite, options, on: kernel)
      guard let count = Int(exactly: byteCount) else { throw KernelError("mmap", path, .noMemory) }
      let memory = try MappedMemory(file, byteCount: count)
      return ContiguousBlock(
        physicalAddress: physicalAddress, bytes: memory.bytes, access: access,
        synchronise: mode == .synchronised
          ? { (range, owner) throws(KernelError) in
            try self.synchronise(range, owner, file)
          } : nil,
        release: { withExtendedLifetime(memory) {} })
    }

    /// Write-combining (mode 2) is normal memory to the CPU, mode 1 is not.
    private func prepareUncached() throws(KernelError) -> ContiguousBlock.Access {
      switch syncMode {
      case 2, 3, 6, 7: return .any
      case 5: return .aligned
      default: break
      }
      do {
        try kernel.write("2", to: "\(attributes)/sync_mode")
        return .any
      } catch {
        // Not ours to change: then mode 1, as it is by default.
        guard syncMode == 1 else { throw error }
        return .aligned
      }
    }

    private func synchronise(
      _ range: Range<Int>, _ owner: ContiguousBlock.Owner, _ file: OpenFile
    ) throws(KernelError) {
      // Whole lines: the command's unit is 16 bytes.
      let line = 64
      let start = UInt64(range.lowerBound / line * line)
      let end = min(UInt64((range.upperBound + line - 1) / line * line), byteCount)
      guard start >> 32 == 0, end - start < 1 << 32 else {
        throw KernelError("synchronise", path, .overflow)
      }
      let direction: UInt64 = owner == .device ? 1 : 2
      var command = start << 32 | (end - start) & 0xFFFF_FFF0 | direction << 2 | 1
      if hasIoctls {
        switch owner {
        case .device:
          try file.ioctl(UDMABuf.setSyncForDevice, "U_DMA_BUF_IOCTL_SET_SYNC_FOR_DEVICE", &command)
        case .cpu: try file.ioctl(UDMABuf.setSyncForCPU, "U_DMA_BUF_IOCTL_SET_SYNC_FOR_CPU", &command)
        }
      } else {
        let attribute = owner == .device ? "sync_for_device" : "sync_for_cpu"
        try kernel.write("0x" + String(command, radix: 16), to: "\(attributes)/\(attribute)")
      }
    }
  }
}
