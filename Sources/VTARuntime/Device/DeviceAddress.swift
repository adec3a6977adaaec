/// A physical address as the accelerator sees it. Never an `Int`: boards with 32-bit hosts have devices that address
/// 4 GiB and more.
package struct DeviceAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let rawValue: UInt64

  package init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// - Precondition: the caller has checked the offset against the size of the allocation.
  package func advanced(by byteOffset: UInt64) -> DeviceAddress { DeviceAddress(rawValue + byteOffset) }

  package static func < (left: DeviceAddress, right: DeviceAddress) -> Bool {
    left.rawValue < right.rawValue
  }

  package var description: String { "0x" + String(rawValue, radix: 16) }
}
