private import CVTALinux

/// How CPU and accelerator agree on what is in memory.
package enum Coherency: String, Hashable, Sendable, CaseIterable {
  /// The accelerator sees the CPU's caches: nothing to do.
  case coherent
  /// Cached; what one side wrote is handed over before the other reads it.
  case synchronised
  /// The CPU goes around its caches.
  case uncached
}

/// Where physically contiguous memory comes from.
protocol ContiguousMemory: AnyObject {
  /// For people: `u-dma-buf /dev/udmabuf0`.
  var name: String { get }
  /// What blocks can be, fastest first.
  var modes: [Coherency] { get }
  /// All there is, given out or not; `nil` if only the kernel knows.
  var byteCount: UInt64? { get }
  /// Each block comes from the kernel's contiguous allocator.
  var drawsFromCMA: Bool { get }

  /// - Parameter byteCount: a multiple of ``Limits/regionAlignment``, not zero.
  /// - Throws: ``DeviceError/outOfMemory(requested:reason:)``, or ``DeviceError/memoryUnusable(name:reason:)`` if what the
  ///   kernel gave is not what it should be.
  func allocate(_ byteCount: UInt64, _ mode: Coherency) throws(DeviceError) -> ContiguousBlock
}

/// A stretch of physically contiguous memory, given back when nobody refers to it any more.
final class ContiguousBlock {
  enum Owner {
    case cpu
    case device
  }

  /// How the CPU may touch it.
  enum Access {
    case any
    /// Mapped as device memory, as UIO does: on Arm an unaligned access or a cache instruction is a bus error.
    case aligned
  }

  typealias Synchronise = (_ range: Range<Int>, _ owner: Owner) throws(KernelError) -> Void

  /// As the CPU counts; a board may show it to the accelerator elsewhere.
  let physicalAddress: PhysicalAddress
  /// Not to be touched but through the methods below.
  let bytes: UnsafeMutableRawBufferPointer
  private let access: Access
  private let synchronise: Synchronise?
  private let release: () -> Void

  /// - Parameters:
  ///   - synchronise: hands a byte range over; `nil` if that is not needed, or impossible.
  ///   - release: keeps alive what the memory belongs to, and gives it back.
  init(
    physicalAddress: PhysicalAddress, bytes: UnsafeMutableRawBufferPointer, access: Access = .any,
    synchronise: Synchronise? = nil, release: @escaping () -> Void
  ) {
    self.physicalAddress = physicalAddress
    self.bytes = bytes
    self.access = access
    self.synchronise = synchronise
    self.release = release
  }

  deinit { release() }

  /// A part of this block, which stays alive as long as the part.
  func part(_ range: Range<Int>, release: @escaping () -> Void) -> ContiguousBlock {
    var handOver: Synchronise?
    if let synchronise {
      handOver = { (inner, owner) throws(KernelError) in
        try synchronise(range.lowerBound + inner.lowerBound..<range.lowerBound + inner.upperBound, owner)
      }
    }
    return ContiguousBlock(
      physicalAddress: PhysicalAddress(physicalAddress.rawValue + UInt64(range.lowerBound)),
      bytes: UnsafeMutableRawBufferPointer(rebasing: bytes[range]), access: access, synchronise: handOver,
      release: {
        withExtendedLifetime(self) { release() }
      })
  }

  /// What the CPU wrote into the range reaches the accelerator, or the other way round.
  func handOver(_ range: Range<Int>, to owner: Owner) throws(KernelError) {
    guard !range.isEmpty else { return }
    try synchronise?(range, owner)
  }

  /// - Precondition: `offset + source.count` is inside the block, as for all below.
  func write(_ source: UnsafeRawBufferPointer, at offset: Int) {
    let target = UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<offset + source.count])
    switch access {
    case .any: target.copyMemory(from: source)
    case .aligned: vta_copy_to_device(target.baseAddress, source.baseAddress, source.count)
    }
  }

  func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) {
    let source = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + target.count])
    switch access {
    case .any: target.copyMemory(from: source)
    case .aligned: vta_copy_from_device(target.baseAddress, source.baseAddress, source.count)
    }
  }

  func clear(_ range: Range<Int>) {
    let target = UnsafeMutableRawBufferPointer(rebasing: bytes[range])
    switch access {
    case .any: target.initializeMemory(as: UInt8.self, repeating: 0)
    case .aligned: vta_clear_device(target.baseAddress, target.count)
    }
  }
}
