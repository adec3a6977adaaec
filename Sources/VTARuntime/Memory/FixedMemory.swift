/// Memory that was set aside before this program began: one stretch, from which blocks are cut.
final class FixedMemory: ContiguousMemory {
  typealias Open = (Coherency) throws(DeviceError) -> ContiguousBlock

  let name: String
  let modes: [Coherency]
  let byteCount: UInt64?
  let drawsFromCMA = false
  private let open: Open
  private var opened: [Coherency: ContiguousBlock] = [:]
  private let list: Box

  private final class Box {
    var free: FreeList
    init(_ free: FreeList) { self.free = free }
  }

  /// - Parameters:
  ///   - byteCount: of the whole stretch.
  ///   - open: maps the whole stretch in one of the modes.
  init(name: String, modes: [Coherency], byteCount: UInt64, open: @escaping Open) {
    self.name = name
    self.modes = modes
    self.open = open
    list = Box(FreeList(byteCount: byteCount))
    self.byteCount = list.free.byteCount
  }

  func allocate(_ byteCount: UInt64, _ mode: Coherency) throws(DeviceError) -> ContiguousBlock {
    let whole = try whole(mode)
    guard let offset = list.free.take(byteCount) else {
      throw .outOfMemory(
        requested: byteCount,
        reason: "\(name) has \(list.free.freeBytes) of \(list.free.byteCount) bytes left, "
          + "\(list.free.largestFree) in one piece")
    }
    let range = offset..<offset + byteCount
    return whole.part(Int(range.lowerBound)..<Int(range.upperBound)) { [list] in list.free.give(range) }
  }

  /// One mapping for all blocks; another mode is another mapping of the same memory.
  private func whole(_ mode: Coherency) throws(DeviceError) -> ContiguousBlock {
    if let block = opened[mode] { return block }
    let block = try open(mode)
    opened[mode] = block
    return block
  }
}
