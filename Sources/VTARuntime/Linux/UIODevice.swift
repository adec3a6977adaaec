internal import SystemPackage
internal import VTA

/// A device that the kernel's UIO framework shows to programs.
struct UIODevice {
  /// One of its stretches of physical memory: registers, or memory.
  struct Map {
    let index: Int
    let name: String
    let address: PhysicalAddress
    let byteCount: UInt64
    /// Where `address` lies in the first mapped page.
    let pageOffset: UInt64

    func covers(_ address: PhysicalAddress, byteCount: UInt64) -> Bool {
      address >= self.address && byteCount <= self.byteCount
        && address.rawValue - self.address.rawValue <= self.byteCount - byteCount
    }
  }

  /// `uio0`
  let entry: String
  /// What the driver or the device tree calls it.
  let name: String
  let maps: [Map]

  var path: String { "/dev/\(entry)" }

  private static let folder = "/sys/class/uio"

  /// By number. A device whose attributes can't be read is left out.
  static func all(on kernel: any Kernel) -> [UIODevice] {
    let entries = (try? kernel.entries(of: folder)) ?? []
    return entries.compactMap { entry in number(entry, after: "uio").map { (entry, $0) } }
      .sorted { $0.1 < $1.1 }
      .compactMap { try? UIODevice($0.0, on: kernel) }
  }

  private init(_ entry: String, on kernel: any Kernel) throws(KernelError) {
    let folder = "\(Self.folder)/\(entry)"
    self.entry = entry
    name = try kernel.text(of: "\(folder)/name")
    var maps: [Map] = []
    for folderName in (try? kernel.entries(of: "\(folder)/maps")) ?? [] {
      guard let index = Self.number(folderName, after: "map") else { continue }
      let map = "\(folder)/maps/\(folderName)"
      maps.append(
        Map(
          index: index, name: (try? kernel.text(of: "\(map)/name")) ?? "",
          address: PhysicalAddress(try kernel.number(of: "\(map)/addr")),
          byteCount: try kernel.number(of: "\(map)/size"),
          pageOffset: (try? kernel.number(of: "\(map)/offset")) ?? 0))
    }
    self.maps = maps.sorted { $0.index < $1.index }
  }

  private static func number(_ text: String, after prefix: String) -> Int? {
    text.hasPrefix(prefix) ? Int(text.dropFirst(prefix.count)) : nil
  }

  /// - Returns: the whole pages of the map.
  func mappedByteCount(_ map: Map) -> Int? {
    let page = UInt64(Limits.pageBytes)
    guard map.pageOffset < page, map.byteCount > 0, map.byteCount <= 1 << 40 else { return nil }
    return Int(exactly: (map.pageOffset + map.byteCount + page - 1) / page * page)
  }

  /// What mmap(2) takes for the map of this index.
  static func mapOffset(_ map: Map) -> UInt64 { UInt64(map.index * Limits.pageBytes) }
}
