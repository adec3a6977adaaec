/// A physical address as the CPU sees it: of a register block or of memory. The accelerator's view of the same memory is
/// a ``DeviceAddress``, which may lie elsewhere (``Board/Memory/deviceAddress(of:)``).
package struct PhysicalAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: UInt64

  package init(_ rawValue: UInt64) { self.rawValue = rawValue }

  package static func < (left: PhysicalAddress, right: PhysicalAddress) -> Bool {
    left.rawValue < right.rawValue
  }

  package var description: String { "0x" + String(rawValue, radix: 16) }
}
