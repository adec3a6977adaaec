private import FoundationEssentials
private import Synchronization
package import SystemPackage

/// A kernel that also copies what is read of it into a folder, for `vtactl doctor --root` on another machine. Devices become
/// empty files; what stands in them is not read.
package final class SavingKernel: Kernel {
  private let beneath: any Kernel
  private let folder: String
  /// What was read of files that are open, by descriptor.
  private let open = Mutex<[CInt: (path: String, bytes: [UInt8])]>([:])
  private let firstProblem = Mutex<String?>(nil)

  /// Only these hold what a diagnosis looks at.
  private static let saved = ["/proc/", "/sys/", "/dev/"]

  package init(_ beneath: any Kernel, folder: String) {
    self.beneath = beneath
    self.folder = folder
  }

  /// Why something could not be saved; `nil`: all was.
  package var problem: String? { firstProblem.withLock { $0 } }

  private func save(_ path: String, _ body: (_ target: String) throws -> Void) {
    guard Self.saved.contains(where: path.hasPrefix) else { return }
    let target = folder + path
    do {
      let parent = target[..<(target.lastIndex(of: "/") ?? target.startIndex)]
      try FileManager.default.createDirectory(atPath: String(parent), withIntermediateDirectories: true)
      try body(target)
    } catch {
      firstProblem.withLock { $0 = $0 ?? "\(target): \(error)" }
    }
  }

  private func savePlaceholder(_ path: String, _ kind: FileStatus.Kind) {
    save(path) { target in
      if kind == .folder {
        try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
      } else if !FileManager.default.fileExists(atPath: target) {
        try Data().write(to: URL(filePath: target))
      }
    }
  }

  package func open(
    _ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions
  ) throws(KernelError) -> CInt {
    let descriptor = try beneath.open(path, mode, options)
    if mode == .readOnly { open.withLock { $0[descriptor] = (path, []) } }
    return descriptor
  }

  package func close(_ descriptor: CInt) {
    beneath.close(descriptor)
    guard let file = open.withLock({ $0.removeValue(forKey: descriptor) }) else { return }
    save(file.path) { try Data(file.bytes).write(to: URL(filePath: $0)) }
  }

  package func read(
    _ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?
  ) throws(KernelError) -> Int {
    let count = try beneath.read(descriptor, into: buffer, at: offset)
    let bytes = Array(UnsafeRawBufferPointer(buffer)[..<count])
    open.withLock { $0[descriptor]?.bytes += bytes }
    return count
  }

  package func status(of path: String) throws(KernelError) -> FileStatus {
    let status = try beneath.status(of: path)
    savePlaceholder(path, status.kind)
    return status
  }

  package func entries(of folder: String) throws(KernelError) -> [String] {
    let names = try beneath.entries(of: folder)
    savePlaceholder(folder, .folder)
    for name in names {
      let path = "\(folder)/\(name)"
      if let status = try? beneath.status(of: path) { savePlaceholder(path, status.kind) }
    }
    return names
  }

  // MARK: Nothing to save

  package func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(KernelError) -> Int {
    try beneath.write(descriptor, bytes)
  }

  package func ioctl(
    _ descriptor: CInt, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
  ) throws(KernelError) {
    try beneath.ioctl(descriptor, request, argument)
  }

  package func map(
    _ descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> UnsafeMutableRawBufferPointer {
    try beneath.map(descriptor, offset: offset, byteCount: byteCount)
  }

  package func unmap(_ memory: UnsafeMutableRawBufferPointer) { beneath.unmap(memory) }

  package func mapRegisters(
    _ descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> any RegisterBlock {
    try beneath.mapRegisters(descriptor, offset: offset, byteCount: byteCount)
  }

  package func waitReadable(
    _ descriptor: CInt, until deadline: ContinuousClock.Instant?
  ) throws(KernelError) -> Bool {
    try beneath.waitReadable(descriptor, until: deadline)
  }

  package func makeFolder(_ path: String) throws(KernelError) { try beneath.makeFolder(path) }
  package func removeFolder(_ path: String) throws(KernelError) { try beneath.removeFolder(path) }
  package func removeFile(_ path: String) throws(KernelError) { try beneath.removeFile(path) }
  package var now: ContinuousClock.Instant { beneath.now }
  package func sleep(_ duration: Duration) { beneath.sleep(duration) }
}
