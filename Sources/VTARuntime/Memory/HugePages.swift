internal import SystemPackage
internal import VTA

/// Files of hugetlbfs: each page is contiguous, several together only by luck, which is checked. There is no cache
/// maintenance for them, so only a coherent port can use them. Not on 32-bit Arm without LPAE, which has no huge pages.
final class HugePages: ContiguousMemory {
  let name: String
  let modes: [Coherency] = [.coherent]
  let byteCount: UInt64? = nil
  let drawsFromCMA = false
  private let folder: String
  private let pageBytes: UInt64
  private let kernel: any Kernel
  private var nextFile = 0

  /// - Throws: ``DeviceError/memoryUnusable(name:reason:)`` if no hugetlbfs is mounted.
  init(on kernel: any Kernel) throws(DeviceError) {
    self.kernel = kernel
    guard let mount = Self.mount(on: kernel) else {
      throw .memoryUnusable(
        name: "hugetlbfs", reason: "none is mounted; mount one, and reserve pages with vm.nr_hugepages")
    }
    folder = mount.folder
    pageBytes = mount.pageBytes
    name = "hugetlbfs \(folder)"
  }

  func allocate(_ byteCount: UInt64, _ mode: Coherency) throws(DeviceError) -> ContiguousBlock {
    guard byteCount <= UInt64(Int.max) - pageBytes else {
      throw .outOfMemory(requested: byteCount, reason: "the request is too large")
    }
    let size = Int((byteCount + pageBytes - 1) / pageBytes * pageBytes)
    let path = "\(folder)/vta-\(UInt(bitPattern: ObjectIdentifier(self)))-\(nextFile)"
    nextFile += 1
    let memory: MappedMemory
    do throws(KernelError) {
      let file = try OpenFile(path, .readWrite, [.create, .exclusiveCreate], on: kernel)
      defer { try? kernel.removeFile(path) }
      memory = try MappedMemory(file, byteCount: size)
    } catch {
      throw .outOfMemory(requested: byteCount, reason: "\(error); raise vm.nr_hugepages")
    }
    return ContiguousBlock(
      physicalAddress: try PageMap.physicalAddress(of: memory.bytes, name: name, on: kernel),
      bytes: memory.bytes, release: { withExtendedLifetime(memory) {} })
  }

  private static func mount(on kernel: any Kernel) -> (folder: String, pageBytes: UInt64)? {
    guard let mounts = try? kernel.text(of: "/proc/mounts") else { return nil }
    for line in mounts.split(separator: "\n") {
      let fields = line.split(separator: " ")
      guard fields.count >= 4, fields[2] == "hugetlbfs" else { continue }
      let size = fields[3].split(separator: ",").first { $0.hasPrefix("pagesize=") }?.dropFirst(9)
      return (String(fields[1]), size.flatMap(bytes) ?? 2 << 20)
    }
    return nil
  }

  /// `2M`, `1024M`, `64K`, `1G`
  private static func bytes(_ text: Substring) -> UInt64? {
    let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30]
    guard let unit = text.last, let shift = shifts[unit], let number = UInt64(text.dropLast()),
      number > 0, number <= 1 << 20
    else { return nil }
    return number << shift
  }
}
