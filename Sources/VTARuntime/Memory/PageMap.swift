internal import SystemPackage
internal import VTA

/// Where the pages of a mapping lie, as `/proc/self/pagemap` says it. Only a process with CAP_SYS_ADMIN is told; for others
/// the frame numbers are zero.
enum PageMap {
  private static let isPresent: UInt64 = 1 << 63
  private static let frameMask: UInt64 = (1 << 55) - 1
  private static let path = "/proc/self/pagemap"

  /// The physical address of a new mapping; writes zeros into it.
  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)`` if its pages are not one behind the other, or nobody may know.
  static func physicalAddress(
    of bytes: UnsafeMutableRawBufferPointer, name: String, on kernel: any Kernel
  ) throws(DeviceError) -> PhysicalAddress {
    let page = Limits.pageBytes
    // A page exists once it was touched.
    for offset in stride(from: 0, to: bytes.count, by: page) {
      bytes.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
    }
    let firstPage = UInt(bitPattern: bytes.baseAddress) / UInt(page)
    var entries = [UInt64](repeating: 0, count: (bytes.count + page - 1) / page)
    do throws(KernelError) {
      let file = try OpenFile(path, .readOnly, on: kernel)
      try file.read(&entries, at: Int64(firstPage) * 8)
    } catch {
      throw .memoryUnusable(name: name, reason: "\(error)")
    }
    var expected: UInt64?
    for (index, entry) in entries.enumerated() {
      let frame = entry & frameMask
      guard entry & isPresent != 0, frame != 0 else {
        throw .memoryUnusable(
          name: name,
          reason: "the kernel does not say where its pages lie (frame 0 in \(path)); "
            + "use u-dma-buf, or run with CAP_SYS_ADMIN on a kernel that reports frames")
      }
      guard frame == expected ?? frame else {
        throw .memoryUnusable(
          name: name,
          reason: "page \(index) of \(entries.count) does not lie behind the one before; use u-dma-buf"
        )
      }
      expected = frame + 1
    }
    guard let end = expected else { throw .memoryUnusable(name: name, reason: "it is empty") }
    return PhysicalAddress((end - UInt64(entries.count)) * UInt64(page))
  }
}
