internal import SystemPackage

/// `/dev/cma` of TVM's kernel module for the DE10-Nano (reference/vta-hardware.md, section 5.2). Every argument is one
/// 32-bit number; the module exists for 32-bit Arm only.
final class CMADevice: ContiguousMemory {
  static let path = "/dev/cma"

  let name = "cma \(CMADevice.path)"
  /// The module's cache calls are no such thing: TVM's driver aborts in them.
  let modes: [Coherency] = [.coherent, .uncached]
  let byteCount: UInt64? = nil
  let drawsFromCMA = true
  private let file: OpenFile
  private let kernel: any Kernel

  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)``.
  init(on kernel: any Kernel) throws(DeviceError) {
    self.kernel = kernel
    do {
      file = try OpenFile(Self.path, .readWrite, on: kernel)
    } catch {
      throw .memoryUnusable(name: name, reason: "\(error)")
    }
  }

  private static let magic: UInt8 = 0xF2
  static let allocateCached = IOCode.request(.exchange, magic, 1, byteCount: 4)
  static let allocateUncached = IOCode.request(.exchange, magic, 2, byteCount: 4)
  static let freeRequest = IOCode.request(.write, magic, 3, byteCount: 4)

  func allocate(_ byteCount: UInt64, _ mode: Coherency) throws(DeviceError) -> ContiguousBlock {
    guard let size = UInt32(exactly: byteCount) else {
      throw .outOfMemory(requested: byteCount, reason: "the request is too large")
    }
    do throws(KernelError) {
      // In: bytes. Out: the physical address, which is also the offset of the mapping.
      var argument = size
      if mode == .uncached {
        try file.ioctl(Self.allocateUncached, "CMA_ALLOC_NONCACHED", &argument)
      } else {
        try file.ioctl(Self.allocateCached, "CMA_ALLOC_CACHED", &argument)
      }
      let address = argument
      let memory = try kernel.map(file.descriptor, offset: UInt64(address), byteCount: Int(size))
      return ContiguousBlock(
        physicalAddress: PhysicalAddress(UInt64(address)), bytes: memory,
        release: { [file, kernel] in
          // The module finds the buffer by the address at which it was mapped.
          var virtual = UInt32(truncatingIfNeeded: UInt(bitPattern: memory.baseAddress))
          kernel.unmap(memory)
          try? file.ioctl(Self.freeRequest, "CMA_FREE", &virtual)
        })
    } catch {
      throw .outOfMemory(requested: byteCount, reason: "\(error)")
    }
  }
}
