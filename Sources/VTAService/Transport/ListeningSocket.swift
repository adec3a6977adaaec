internal import CSystemd
internal import CVTALinux
internal import Glibc
internal import SystemPackage

/// A Unix socket that listens: created here, or inherited from systemd.
package struct ListeningSocket: Sendable {
  package let path: String
  let descriptor: CInt
  /// The file that ``create(path:mode:)`` made; `nil` if it belongs to somebody else.
  private let file: FileIdentity?

  private struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64
    /// The number of a removed file is given away again.
    let changedNanoseconds: Int64
  }

  /// Binds and listens. A socket file that nobody listens on any more is replaced; any other file is not.
  package static func create(path: String, mode: UInt32) throws(ServiceError) -> ListeningSocket {
    let lock = try FolderLock(ofFile: path)
    defer { lock.unlock() }
    try removeStale(path)
    let descriptor = vta_unix_listen(path, mode)
    guard descriptor >= 0 else { throw cannotListen(path, Errno(rawValue: -descriptor)) }
    return ListeningSocket(path: path, descriptor: descriptor, file: identity(path))
  }

  /// The socket that systemd passed to this process (sd_listen_fds(3)); `nil` if it passed none.
  package static func inherited() throws(ServiceError) -> ListeningSocket? {
    let count = sd_listen_fds(1)
    guard count != 0 else { return nil }
    guard count == 1 else {
      throw ServiceError(
        .failedPrecondition,
        "systemd passed \(count) sockets; vtad.socket must have exactly one ListenStream= line")
    }
    let descriptor = CInt(SD_LISTEN_FDS_START)
    guard sd_is_socket_unix(descriptor, CInt(SOCK_STREAM.rawValue), 1, nil, 0) > 0 else {
      throw ServiceError(
        .failedPrecondition,
        "systemd passed a socket that is not a listening Unix stream socket; "
          + "vtad.socket needs ListenStream= with a path")
    }
    return ListeningSocket(path: boundPath(descriptor), descriptor: descriptor, file: nil)
  }

  /// Removes the file that ``create(path:mode:)`` made, unless another daemon has replaced it since.
  package func removeFile() {
    guard let file, let lock = try? FolderLock(ofFile: path) else { return }
    defer { lock.unlock() }
    if Self.identity(path) == file { unlink(path) }
  }

  private static func boundPath(_ descriptor: CInt) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard vta_unix_path(descriptor, &buffer, buffer.count) == 0, buffer[0] != 0 else {
      return "descriptor \(descriptor)"
    }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func status(_ path: String) -> vta_file? {
    var status = vta_file()
    return vta_path_status(path, &status) == 0 ? status : nil
  }

  private static func identity(_ path: String) -> FileIdentity? {
    status(path).map { status in
      FileIdentity(
        device: status.device, inode: status.inode, changedNanoseconds: status.changed_nanoseconds)
    }
  }

  private static func removeStale(_ path: String) throws(ServiceError) {
    guard let status = status(path) else { return }
    guard status.mode & S_IFMT == S_IFSOCK else {
      throw ServiceError(
        .failedPrecondition, "\(path) exists and is not a socket; remove it or choose another socket path")
    }
    let connection = vta_unix_connect(path)
    switch Errno(rawValue: -connection) {
    case .connectionRefused:
      unlink(path)
    case .noSuchFileOrDirectory:
      break
    default:
      // Connected, or the listener's queue is full, or we may not know: never take it away from anybody.
      if connection >= 0 { close(connection) }
      throw ServiceError(
        .failedPrecondition,
        "another daemon already listens on \(path); stop it or choose another socket path")
    }
  }

  private static func cannotListen(_ path: String, _ error: Errno) -> ServiceError {
    let why =
      error == .fileNameTooLong
      ? "the path is longer than the 107 bytes that a Unix socket can have; choose a shorter one"
      : "\(error); check the folder's permissions or choose another socket path"
    return ServiceError(.failedPrecondition, "can't listen on \(path): \(why)")
  }
}

/// Keeps two daemons that start together from taking each other's socket: held from the look at the old file until the
/// new one listens.
private struct FolderLock {
  private let descriptor: CInt

  init(ofFile path: String) throws(ServiceError) {
    let parent = FilePath(path).removingLastComponent().string
    let folder = parent.isEmpty ? "." : parent
    descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    let error = Errno(rawValue: errno)
    guard descriptor >= 0 else {
      let why =
        error == .noSuchFileOrDirectory
        ? "the folder \(folder) does not exist; create it or choose another socket path"
        : "can't open the folder \(folder): \(error)"
      throw ServiceError(.failedPrecondition, "can't listen on \(path): \(why)")
    }
    // Whoever may read the folder may lock it. After two seconds it is no starting daemon, and nobody else may keep
    // this one from starting.
    var attempts = 100
    while attempts > 0 && flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      attempts -= 1
      usleep(20_000)
    }
  }

  func unlock() {
    // Closing alone would leave the lock with a child process that got the descriptor before it ran another program.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }
}
