internal import CVTALinux
internal import Glibc
internal import SystemPackage

/// A window of a POSIX shared memory object that a client registered.
///
/// It is read and written through its descriptor, one copy each way, and never mapped: its owner may shorten it at any
/// time, and a mapping would turn the next access into a signal that ends the daemon.
final class SharedRegion: Sendable {
  let name: String
  /// As the client wrote it.
  let key: String
  let offset: UInt64
  let byteCount: UInt64
  private let descriptor: CInt

  /// - Throws: ``ServiceError``: `permissionDenied` unless the object belongs to `owner` and this process may open it.
  init(name: String, key: String, offset: UInt64, byteCount: UInt64, owner: UInt32) throws(ServiceError) {
    let object = try Self.objectName(key)
    let opened = vta_shared_memory_open(object)
    guard opened >= 0 else { throw Self.cannotOpen(key, object, Errno(rawValue: -opened)) }
    do {
      try Self.check(opened, key: key, offset: offset, byteCount: byteCount, owner: owner)
    } catch {
      close(opened)
      throw error
    }
    (self.name, self.key, self.offset, self.byteCount, descriptor) = (name, key, offset, byteCount, opened)
  }

  deinit { close(descriptor) }

  /// Copies bytes out of the region.
  /// - Throws: ``ServiceError`` if the range is not in the region, or the object has become shorter.
  func read(at start: UInt64, count: Int) throws(ServiceError) -> [UInt8] {
    let position = try position(of: start, count)
    var done = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      while done < count {
        guard let base = buffer.baseAddress else { break }
        let got = vta_read(descriptor, base + done, count - done, position + Int64(done))
        if got == -Int64(EINTR) { continue }
        if got <= 0 { break }
        done += Int(got)
      }
      initialized = done
    }
    guard done == count else { throw shortened() }
    return bytes
  }

  /// - Throws: As ``read(at:count:)``.
  func write(_ bytes: UnsafeRawBufferPointer, at start: UInt64) throws(ServiceError) {
    let position = try position(of: start, bytes.count)
    // Writing behind the end would make the object longer.
    var status = vta_file()
    guard vta_file_status(descriptor, &status) == 0, status.size >= position + Int64(bytes.count) else {
      throw shortened()
    }
    var done = 0
    while done < bytes.count {
      guard let base = bytes.baseAddress else { break }
      let put = vta_write_at(descriptor, base + done, bytes.count - done, position + Int64(done))
      if put == -Int64(EINTR) { continue }
      guard put > 0 else { throw shortened() }
      done += Int(put)
    }
  }

  /// - Throws: If a range of a request is outside the region.
  func check(_ start: UInt64, _ count: Int) throws(ServiceError) {
    let (end, overflow) = start.addingReportingOverflow(UInt64(count))
    guard !overflow, end <= byteCount else {
      throw ServiceError(
        .invalidArgument,
        "\(count) bytes at offset \(start) are not in the shared memory region \(name), which has \(byteCount) bytes"
      )
    }
  }

  private func position(of start: UInt64, _ count: Int) throws(ServiceError) -> Int64 {
    try check(start, count)
    return Int64(offset + start)
  }

  private func shortened() -> ServiceError {
    ServiceError(
      .failedPrecondition,
      "the shared memory object \(key) is shorter than its region \(name) by now; register it again")
  }

  private static func objectName(_ key: String) throws(ServiceError) -> String {
    let name = key.drop { $0 == "/" }
    guard !name.isEmpty, name.utf8.count < 255, !name.contains("/"), name != ".", name != "..",
      !name.utf8.contains(0)
    else {
      throw ServiceError(
        .invalidArgument,
        "'\(key.prefix(255))' can't be the key of a shared memory object; it takes a name without slashes")
    }
    return "/" + name
  }

  private static func cannotOpen(_ key: String, _ object: String, _ error: Errno) -> ServiceError {
    switch error {
    case .permissionDenied: denied(key, object)
    case .noSuchFileOrDirectory:
      ServiceError(.notFound, "there is no shared memory object \(key); create it before it is registered")
    case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noMemory:
      ServiceError(
        .resourceExhausted, "the daemon can't open the shared memory object \(key): \(error); try again later"
      )
    default:
      ServiceError(.invalidArgument, "the shared memory object \(key) can't be opened: \(error)")
    }
  }

  /// The daemon's group is not the client's affair, but its number is what the commands need.
  private static func denied(_ key: String, _ object: String) -> ServiceError {
    ServiceError(
      .permissionDenied,
      "the daemon may not open the shared memory object \(key); "
        + "allow it: chgrp \(getegid()) /dev/shm\(object) && chmod 0660 /dev/shm\(object)")
  }

  private static func check(
    _ descriptor: CInt, key: String, offset: UInt64, byteCount: UInt64, owner: UInt32
  ) throws(ServiceError) {
    var status = vta_file()
    guard vta_file_status(descriptor, &status) == 0, status.mode & S_IFMT == S_IFREG else {
      throw ServiceError(.invalidArgument, "'\(key)' is not a shared memory object")
    }
    guard status.owner == owner else {
      throw ServiceError(
        .permissionDenied,
        "the shared memory object \(key) belongs to uid \(status.owner), not to the caller (uid \(owner)); "
          + "register one of your own")
    }
    let (end, overflow) = offset.addingReportingOverflow(byteCount)
    guard !overflow, byteCount > 0, end <= UInt64(clamping: status.size) else {
      throw ServiceError(
        .invalidArgument,
        "the shared memory object \(key) has \(status.size) bytes, but the region is \(byteCount) bytes at offset \(offset)"
      )
    }
  }
}
