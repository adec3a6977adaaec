/// Registers at physical addresses, 32 bits each.
protocol RegisterDevice: AnyObject {
  /// For the record of accesses.
  var name: String { get }
  func read(_ offset: UInt64) -> UInt32
  func write(_ offset: UInt64, _ value: UInt32)
}

/// What answers at which physical address. Memory is not in it: ``PhysicalMemory``.
final class AddressMap {
  private var entries: [(range: Range<UInt64>, device: any RegisterDevice)] = []

  func add(_ address: UInt64, byteCount: UInt64, _ device: any RegisterDevice) {
    entries.append((address..<address + byteCount, device))
  }

  func find(_ address: UInt64) -> (device: any RegisterDevice, offset: UInt64)? {
    entries.first { $0.range.contains(address) }.map { ($0.device, address - $0.range.lowerBound) }
  }
}

/// System registers that hold what is written to them, all zero at first.
final class PlainRegisters: RegisterDevice {
  let name: String
  private var values: [UInt64: UInt32] = [:]

  init(_ name: String) { self.name = name }

  func read(_ offset: UInt64) -> UInt32 { values[offset] ?? 0 }
  func write(_ offset: UInt64, _ value: UInt32) { values[offset] = value }
}

/// One register block of the accelerator, behind the bridge between processor and fabric.
final class AcceleratorBlock: RegisterDevice {
  let name: String
  private let index: Int
  private let accelerator: Accelerator
  private let fabric: Fabric

  init(_ index: Int, of accelerator: Accelerator, in fabric: Fabric) {
    name = accelerator.registers.blockNames[index]
    self.index = index
    self.accelerator = accelerator
    self.fabric = fabric
  }

  /// Real hardware ends the program with a bus error where this complains.
  private func isReachable(_ offset: UInt64) -> Bool {
    if let reason = fabric.unreachable {
      fabric.complain("bus error at \(name)+0x\(String(offset, radix: 16)): \(reason)")
      return false
    }
    return true
  }

  func read(_ offset: UInt64) -> UInt32 {
    guard isReachable(offset) else { return .max }
    accelerator.settle()
    guard !accelerator.isGone else { return .max }
    let value = accelerator.registers.value(index, Int(offset))
    accelerator.registers.wasRead(index, Int(offset))
    return value
  }

  func write(_ offset: UInt64, _ value: UInt32) {
    guard isReachable(offset) else { return }
    accelerator.settle()
    if !accelerator.isGone { accelerator.registers.write(index, Int(offset), value) }
  }
}
