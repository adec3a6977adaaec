private import CVTALinux
package import SystemPackage

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// The kernel that this process runs on.
package final class LinuxKernel: Kernel {
  /// What stands before each path; empty for the real system. A copy of a board's `/proc`, `/sys` and `/dev` can be
  /// looked at this way.
  package let root: String

  package init(root: String = "") {
    self.root = root.hasSuffix("/") ? String(root.dropLast()) : root
  }

  package func open(
    _ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions
  ) throws(KernelError) -> CInt {
    do {
      return try FileDescriptor.open(
        FilePath(root + path), mode, options: options,
        permissions: options.contains(.create) ? FilePermissions(rawValue: 0o644) : nil
      ).rawValue
    } catch {
      throw KernelError("open", path, error as? Errno ?? .ioError)
    }
  }

  package func close(_ descriptor: CInt) { vta_close(descriptor) }

  package func read(
    _ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?
  ) throws(KernelError) -> Int {
    while true {
      let count = vta_read(descriptor, buffer.baseAddress, buffer.count, offset ?? -1)
      if count >= 0 { return Int(count) }
      if count != -Int64(EINTR) { throw KernelError("read", name(descriptor), Errno(rawValue: CInt(-count))) }
    }
  }

  package func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(KernelError) -> Int {
    while true {
      let count = vta_write(descriptor, bytes.baseAddress, bytes.count)
      if count >= 0 { return Int(count) }
      if count != -Int64(EINTR) {
        throw KernelError("write", name(descriptor), Errno(rawValue: CInt(-count)))
      }
    }
  }

  package func ioctl(
    _ descriptor: CInt, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer
  ) throws(KernelError) {
    let code = vta_ioctl(descriptor, request, argument.baseAddress)
    if code < 0 { throw KernelError("ioctl", name(descriptor), Errno(rawValue: -code)) }
  }

  package func map(
    _ descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
      start: try address(of: descriptor, offset: offset, byteCount: byteCount), count: byteCount)
  }

  package func unmap(_ memory: UnsafeMutableRawBufferPointer) { munmap(memory.baseAddress, memory.count) }

  package func mapRegisters(
    _ descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> any RegisterBlock {
    MappedRegisters(
      try address(of: descriptor, offset: offset, byteCount: byteCount), byteCount: byteCount)
  }

  private func address(
    of descriptor: CInt, offset: UInt64, byteCount: Int
  ) throws(KernelError) -> UnsafeMutableRawPointer {
    var address: UnsafeMutableRawPointer?
    let code = vta_map(descriptor, offset, byteCount, &address)
    guard code == 0, let address else { throw KernelError("mmap", name(descriptor), Errno(rawValue: -code)) }
    return address
  }

  package func waitReadable(
    _ descriptor: CInt, until deadline: ContinuousClock.Instant?
  ) throws(KernelError) -> Bool {
    while true {
      var timeout: Int64 = -1
      if let deadline { timeout = max(.zero, deadline - now).nanoseconds }
      let code = vta_wait_readable(descriptor, timeout)
      if code >= 0 { return code > 0 }
      if code != -EINTR { throw KernelError("poll", name(descriptor), Errno(rawValue: -code)) }
    }
  }

  package func status(of path: String) throws(KernelError) -> FileStatus {
    var status = stat()
    guard stat(root + path, &status) == 0 else { throw KernelError("stat", path, Errno(rawValue: errno)) }
    let kind: FileStatus.Kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .folder
      case S_IFLNK: .link
      case S_IFCHR: .characterDevice
      default: .other
      }
    return FileStatus(
      kind: kind, permissions: UInt32(status.st_mode & 0o7777), owner: status.st_uid, group: status.st_gid,
      byteCount: UInt64(max(0, status.st_size)))
  }

  package func entries(of folder: String) throws(KernelError) -> [String] {
    guard let stream = opendir(root + folder) else {
      throw KernelError("open", folder, Errno(rawValue: errno))
    }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  package func makeFolder(_ path: String) throws(KernelError) {
    guard mkdir(root + path, 0o755) == 0 else { throw KernelError("mkdir", path, Errno(rawValue: errno)) }
  }

  package func removeFolder(_ path: String) throws(KernelError) {
    guard rmdir(root + path) == 0 else { throw KernelError("rmdir", path, Errno(rawValue: errno)) }
  }

  package func removeFile(_ path: String) throws(KernelError) {
    guard unlink(root + path) == 0 else { throw KernelError("unlink", path, Errno(rawValue: errno)) }
  }

  /// The path behind a descriptor, for error messages.
  private func name(_ descriptor: CInt) -> String {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = Int(vta_read_link("/proc/self/fd/\(descriptor)", &buffer, buffer.count))
    return count >= 0 ? String(decoding: buffer[..<count], as: UTF8.self) : "descriptor \(descriptor)"
  }

  package var now: ContinuousClock.Instant { .now }

  package func sleep(_ duration: Duration) { vta_sleep(duration.nanoseconds) }
}

extension Duration {
  /// Rounded down; `Int64.max` holds 292 years.
  fileprivate var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : product + attoseconds / 1_000_000_000
  }
}
