private import CVTALinux

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// Registers in a mapping of this process, which ends with this object.
final class MappedRegisters: RegisterBlock {
  private let base: UnsafeMutableRawPointer
  let byteCount: Int

  /// - Parameter base: as mmap(2) returned it.
  init(_ base: UnsafeMutableRawPointer, byteCount: Int) {
    self.base = base
    self.byteCount = byteCount
  }

  deinit { munmap(base, byteCount) }

  func read(_ offset: Int) -> UInt32 { vta_register_read(base, offset) }
  func write(_ offset: Int, _ value: UInt32) { vta_register_write(base, offset, value) }
  func publishMemory() { vta_publish_memory() }
  func acquireMemory() { vta_acquire_memory() }
}
