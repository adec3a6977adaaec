internal import VTA

/// The registers of an accelerator, bound to where this process sees them.
final class DeviceRegisters {
  /// Where a block of the map begins.
  struct Place {
    let block: any RegisterBlock
    /// In bytes, from the start of `block`.
    let base: Int
  }

  let map: RegisterMap
  /// For people: `/dev/uio0`.
  let path: String
  /// `nil`: the device has none, the driver polls.
  let interrupt: UIOInterrupt?
  private let places: [RegisterMap.Block: Place]
  private let anyBlock: any RegisterBlock

  /// - Returns: `nil` unless every register of the map lies in its place.
  init?(
    map: RegisterMap, path: String, places: [RegisterMap.Block: Place], interrupt: UIOInterrupt?
  ) {
    for block in map.blocks {
      guard let place = places[block], place.base >= 0, place.base % 4 == 0,
        map.byteCount(of: block) <= place.block.byteCount - place.base
      else { return nil }
    }
    guard let first = map.blocks.first, let any = places[first] else { return nil }
    self.map = map
    self.path = path
    self.places = places
    self.interrupt = interrupt
    anyBlock = any.block
  }

  func read(_ register: RegisterMap.Register) -> UInt32 {
    let place = place(register)
    return place.block.read(place.base + register.offset)
  }

  func write(_ register: RegisterMap.Register, _ value: UInt32) {
    let place = place(register)
    place.block.write(place.base + register.offset, value)
  }

  func publishMemory() { anyBlock.publishMemory() }
  func acquireMemory() { anyBlock.acquireMemory() }

  private func place(_ register: RegisterMap.Register) -> Place {
    guard let place = places[register.block] else {
      preconditionFailure("\(register.description) belongs to another map")
    }
    return place
  }
}

/// The interrupt of a UIO device. The kernel masks it when it comes; whoever waits must arm it before.
struct UIOInterrupt {
  private let file: OpenFile

  /// - Returns: `nil` if the device has no interrupt that can be armed.
  init?(_ file: OpenFile) {
    self.file = file
    do { try arm() } catch { return nil }
  }

  func arm() throws(KernelError) {
    try file.writeAll(withUnsafeBytes(of: UInt32(1)) { Array($0) })
  }

  /// - Returns: whether it came before the deadline.
  func wait(until deadline: ContinuousClock.Instant) throws(KernelError) -> Bool {
    guard try file.kernel.waitReadable(file.descriptor, until: deadline) else { return false }
    // The count of interrupts; reading it makes the descriptor wait for the next one.
    var count: [UInt32] = [0]
    try file.read(&count, at: nil)
    return true
  }
}
