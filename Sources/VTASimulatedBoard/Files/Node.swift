internal import SystemPackage
internal import VTARuntime

/// Something that has a path. The folder that holds it says which.
class Node {
  let kind: FileStatus.Kind
  var permissions: UInt32
  var owner: UInt32 = 0
  var group: UInt32 = 0

  init(_ kind: FileStatus.Kind, permissions: UInt32) {
    self.kind = kind
    self.permissions = permissions
  }

  var byteCount: UInt64 { 0 }

  func open(_ request: OpenRequest) throws(Errno) -> any OpenNode { throw .isDirectory }
}

struct OpenRequest {
  let mode: FileDescriptor.AccessMode
  let options: FileDescriptor.OpenOptions

  /// `O_SYNC`
  static let synchronous = FileDescriptor.OpenOptions(rawValue: 0o4_010_000)
}

/// An open file. What a kind of file can't do answers as Linux does.
protocol OpenNode: AnyObject {
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?) throws(Errno) -> Int
  func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int
  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno)
  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView
  func registers(offset: UInt64, byteCount: Int) throws(Errno) -> RegisterWindow
  /// When there will be something to read: `nil` if nothing is on its way.
  var readableAt: ContinuousClock.Instant? { get }
}

extension OpenNode {
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?) throws(Errno) -> Int {
    throw .invalidArgument
  }
  func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int { throw .invalidArgument }
  func ioctl(_ request: UInt, _ argument: UnsafeMutableRawBufferPointer) throws(Errno) {
    throw .inappropriateIOCTLForDevice
  }
  func map(offset: UInt64, byteCount: Int) throws(Errno) -> MappedView {
    throw .operationNotSupportedByDevice
  }
  func registers(offset: UInt64, byteCount: Int) throws(Errno) -> RegisterWindow {
    throw .operationNotSupportedByDevice
  }
  var readableAt: ContinuousClock.Instant? { nil }
}

/// A stretch of physical memory as one mapping shows it.
struct MappedView {
  let block: MemoryBlock
  let offset: Int
  let byteCount: Int
  let isCached: Bool

  /// - Throws: `EINVAL` unless the stretch lies in the block.
  init(_ block: MemoryBlock, offset: UInt64, byteCount: Int, isCached: Bool) throws(Errno) {
    guard byteCount > 0, offset % PhysicalMemory.pageBytes == 0, offset <= UInt64(block.byteCount),
      byteCount <= block.byteCount - Int(offset)
    else { throw .invalidArgument }
    (self.block, self.offset, self.byteCount, self.isCached) = (block, Int(offset), byteCount, isCached)
  }

  var bytes: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
      rebasing: block.view(isCached: isCached)[offset..<offset + byteCount])
  }
}

/// A stretch of physical addresses with device registers behind it.
struct RegisterWindow {
  let address: UInt64
  let byteCount: Int
}
