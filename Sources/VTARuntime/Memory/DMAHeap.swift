internal import SystemPackage
internal import VTA

/// Buffers of `/dev/dma_heap` that come from CMA. The kernel does not say where they lie; ``PageMap`` does on kernels
/// that report the frames of such mappings (before 6.8), to processes with CAP_SYS_ADMIN.
///
/// The kernel maintains caches only for devices that attached themselves to the buffer, which an accelerator without a
/// kernel driver never did: the self-test tells whether synchronising does anything.
final class DMAHeap: ContiguousMemory {
  static let folder = "/dev/dma_heap"
  /// Heaps of contiguous memory by the names that kernels gave them; `system` is not contiguous.
  static let knownHeaps = ["reserved", "linux,cma", "default-pool", "default_cma_region"]

  let name: String
  let modes: [Coherency] = [.coherent, .synchronised]
  let byteCount: UInt64? = nil
  let drawsFromCMA = true
  private let heap: OpenFile
  private let kernel: any Kernel

  /// - Parameter heap: `nil`: the first of ``knownHeaps`` that is there.
  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)``.
  init(_ heap: String?, on kernel: any Kernel) throws(DeviceError) {
    self.kernel = kernel
    let there = (try? kernel.entries(of: Self.folder)) ?? []
    guard let heap = heap ?? Self.knownHeaps.first(where: there.contains) else {
      throw .memoryUnusable(
        name: "dma-heap", reason: "\(Self.folder) has no heap of contiguous memory; use u-dma-buf")
    }
    name = "dma-heap \(heap)"
    do {
      self.heap = try OpenFile("\(Self.folder)/\(heap)", .readWrite, on: kernel)
    } catch {
      throw .memoryUnusable(name: "dma-heap \(heap)", reason: "\(error)")
    }
  }

  /// `struct dma_heap_allocation_data`
  private struct Allocation {
    var length: UInt64
    var descriptor: UInt32 = 0
    var descriptorFlags: UInt32
    var heapFlags: UInt64 = 0
  }

  private static let allocateRequest = IOCode.request(.exchange, UInt8(ascii: "H"), 0, byteCount: 24)
  private static let syncRequest = IOCode.request(.write, UInt8(ascii: "b"), 0, byteCount: 8)
  /// Flags of `DMA_BUF_IOCTL_SYNC`.
  private static let syncRead: UInt64 = 1
  private static let syncWrite: UInt64 = 2
  private static let syncEnd: UInt64 = 4

  func allocate(_ byteCount: UInt64, _ mode: Coherency) throws(DeviceError) -> ContiguousBlock {
    guard let size = Int(exactly: byteCount) else {
      throw .outOfMemory(requested: byteCount, reason: "the request is too large")
    }
    let memory: MappedMemory
    do throws(KernelError) {
      let flags =
        FileDescriptor.AccessMode.readWrite.rawValue | FileDescriptor.OpenOptions.closeOnExec.rawValue
      var allocation = Allocation(length: byteCount, descriptorFlags: UInt32(flags))
      try heap.ioctl(Self.allocateRequest, "DMA_HEAP_IOCTL_ALLOC", &allocation)
      let buffer = OpenFile(
        adopting: CInt(truncatingIfNeeded: allocation.descriptor), path: "\(heap.path) buffer", on: kernel)
      memory = try MappedMemory(buffer, byteCount: size)
    } catch {
      throw .outOfMemory(requested: byteCount, reason: "\(error)")
    }
    return ContiguousBlock(
      physicalAddress: try PageMap.physicalAddress(of: memory.bytes, name: name, on: kernel),
      bytes: memory.bytes,
      synchronise: mode == .synchronised
        ? { (_, owner) throws(KernelError) in
          var flags = owner == .device ? Self.syncEnd | Self.syncWrite : Self.syncRead
          try memory.file.ioctl(Self.syncRequest, "DMA_BUF_IOCTL_SYNC", &flags)
        } : nil,
      release: { withExtendedLifetime(memory) {} })
  }
}
