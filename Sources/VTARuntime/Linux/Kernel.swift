package import SystemPackage

/// All that the driver asks of the Linux kernel: the one seam between production code and what lies beneath it, a real
/// kernel (``LinuxKernel``) or a simulated board.
///
/// Calls block and may come from any thread. Paths are absolute, as on the board. Every call that fails says the operation,
/// the path and the system's error. Descriptors are plain numbers here; ``OpenFile`` owns them.
package protocol Kernel: AnyObject, Sendable {
  func open(_ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions)
    throws(KernelError) -> CInt
  func close(_ descriptor: CInt)
  /// - Parameter offset: `nil`: at the file's own position.
  /// - Returns: bytes read; 0 at the end of the file.
  func read(_ descriptor: CInt, into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?)
    throws(KernelError) -> Int
  /// - Returns: bytes written, perhaps fewer than given.
  func write(_ descriptor: CInt, _ bytes: UnsafeRawBufferPointer) throws(KernelError) -> Int
  /// - Parameter argument: what the request's `_IOC_SIZE` says, or what it points to, read and written in place.
  func ioctl(_ descriptor: CInt, _ request: UInt, _ argument: UnsafeMutableRawBufferPointer)
    throws(KernelError)
  /// A shared mapping of memory that the CPU may read and write with any width.
  func map(_ descriptor: CInt, offset: UInt64, byteCount: Int) throws(KernelError)
    -> UnsafeMutableRawBufferPointer
  func unmap(_ memory: UnsafeMutableRawBufferPointer)
  /// A shared mapping of device registers, for 32-bit accesses only.
  func mapRegisters(_ descriptor: CInt, offset: UInt64, byteCount: Int) throws(KernelError)
    -> any RegisterBlock
  /// Waits until the descriptor can be read.
  /// - Returns: `false` if the deadline came first.
  func waitReadable(_ descriptor: CInt, until deadline: ContinuousClock.Instant?) throws(KernelError) -> Bool

  func status(of path: String) throws(KernelError) -> FileStatus
  /// Names in a folder, sorted, without `.` and `..`.
  func entries(of folder: String) throws(KernelError) -> [String]
  /// For configfs, where a folder is an object.
  func makeFolder(_ path: String) throws(KernelError)
  func removeFolder(_ path: String) throws(KernelError)
  /// For firmware files of our own.
  func removeFile(_ path: String) throws(KernelError)

  var now: ContinuousClock.Instant { get }
  func sleep(_ duration: Duration)
}

/// Registers of a device in the order in which they are accessed: nothing is merged, dropped or moved.
///
/// Offsets are bytes, multiples of 4 and below ``byteCount``; whoever binds a register table to a block checks that once.
package protocol RegisterBlock: AnyObject {
  var byteCount: Int { get }
  func read(_ offset: Int) -> UInt32
  func write(_ offset: Int, _ value: UInt32)
  /// All earlier writes to memory reach memory before the next register write (release).
  func publishMemory()
  /// No later read of memory happens before the last register read (acquire).
  func acquireMemory()
}

package struct FileStatus: Equatable, Sendable {
  package enum Kind: Sendable {
    case file
    case folder
    case link
    case characterDevice
    case other
  }

  package var kind: Kind
  /// The low twelve bits of `st_mode`.
  package var permissions: UInt32
  package var owner: UInt32
  package var group: UInt32
  package var byteCount: UInt64

  package init(kind: Kind, permissions: UInt32, owner: UInt32, group: UInt32, byteCount: UInt64) {
    self.kind = kind
    self.permissions = permissions
    self.owner = owner
    self.group = group
    self.byteCount = byteCount
  }
}

/// A call that the kernel refused.
package struct KernelError: Error, Equatable, CustomStringConvertible {
  /// `open`, `ioctl U_DMA_BUF_IOCTL_GET_SIZE` …
  package var operation: String
  package var path: String
  package var code: Errno

  package init(_ operation: String, _ path: String, _ code: Errno) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// `open /dev/uio0: permission denied`
  package var description: String {
    "\(operation) \(path): \(code.description.prefix(1).lowercased())\(code.description.dropFirst())"
  }
}

extension FileDescriptor.OpenOptions {
  /// `O_SYNC`, which drivers of memory take for "around the cache".
  package static let synchronous = FileDescriptor.OpenOptions(rawValue: 0o4_010_000)
}
