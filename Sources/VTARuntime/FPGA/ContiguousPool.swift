/// The kernel's allocator of contiguous memory (CMA), as `/proc/meminfo` tells of it.
package struct ContiguousPool: Hashable, Sendable {
  package let totalBytes: UInt64
  /// Not all of it need be in one piece.
  package let freeBytes: UInt64

  /// - Returns: `nil` on kernels without CMA.
  package init?(on kernel: any Kernel) {
    guard let text = try? kernel.text(of: "/proc/meminfo") else { return nil }
    func bytes(_ key: String) -> UInt64? {
      for line in text.split(separator: "\n") where line.hasPrefix("\(key):") {
        return line.split(separator: " ").dropFirst().first.flatMap { UInt64($0) }
          .flatMap { $0 > .max >> 10 ? nil : $0 << 10 }
      }
      return nil
    }
    guard let total = bytes("CmaTotal"), let free = bytes("CmaFree") else { return nil }
    totalBytes = total
    freeBytes = free
  }
}
