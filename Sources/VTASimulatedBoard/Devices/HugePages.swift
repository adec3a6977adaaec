internal import SystemPackage
internal import VTARuntime

/// hugetlbfs: files in `/dev/hugepages` are huge pages. Mapping one gives it its size, as Linux does for writers.
final class HugePageFile: Node {
  static let pageBytes = 2 << 20

  private let memory: PhysicalMemory
  fileprivate var block: MemoryBlock?

  private init(_ memory: PhysicalMemory) {
    self.memory = memory
    super.init(.file, permissions: 0o644)
  }

  override var byteCount: UInt64 { UInt64(block?.byteCount ?? 0) }

  static func add(to files: FileTree, _ memory: PhysicalMemory) {
    files.add(
      "/dev/hugepages", Folder(makeFile: { _ throws(Errno) in HugePageFile(memory) }))
  }

  override func open(_ request: OpenRequest) throws(Errno) -> any OpenNode { OpenHugePages(self) }

  fileprivate func map(_ offset: UInt64, _ byteCount: Int) throws(Errno) -> MappedView {
    guard byteCount % Self.pageBytes == 0, offset % UInt64(Self.pageBytes) == 0 else {
      throw .invalidArgument
    }
    if block == nil { block = memory.allocate(byteCount: offset + UInt64(byteCount)) }
    guard let block else { throw .noMemory }
    return try MappedView(block, offset: offset, byteCount: byteCount, isCached: true)
  }
}

private final class OpenHugePages: OpenNode {
  private let file: HugePageFile

  init(_ file: HugePageFile) { self.file = file }

  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView { try file.map(offset, byteCount) }
}
