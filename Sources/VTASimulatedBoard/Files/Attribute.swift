internal import SystemPackage
internal import VTARuntime

/// A small file that a piece of the kernel answers: read whole, written in one call.
final class Attribute: Node {
  typealias Read = () throws(Errno) -> [UInt8]
  typealias Write = ([UInt8]) throws(Errno) -> Void

  fileprivate let read: Read?
  fileprivate let write: Write?

  init(permissions: UInt32, read: Read?, write: Write? = nil) {
    self.read = read
    self.write = write
    super.init(.file, permissions: permissions)
  }

  /// Text with a newline behind it, as sysfs shows it.
  convenience init(
    permissions: UInt32 = 0o444, text: @escaping () throws(Errno) -> String,
    write: ((String) throws(Errno) -> Void)? = nil
  ) {
    var writeBytes: Write?
    if let write {
      writeBytes = { (bytes) throws(Errno) in try write(Self.trimmed(bytes)) }
    }
    self.init(
      permissions: permissions, read: { () throws(Errno) in Array((try text() + "\n").utf8) },
      write: writeBytes)
  }

  /// Without the newline that `echo` writes.
  static func trimmed(_ bytes: [UInt8]) -> String {
    let end = bytes.lastIndex { $0 != 10 && $0 != 0 }.map { $0 + 1 } ?? 0
    return String(decoding: bytes[..<end], as: UTF8.self)
  }

  override var byteCount: UInt64 { 4096 }

  override func open(_ request: OpenRequest) throws(Errno) -> any OpenNode { OpenAttribute(self) }
}

private final class OpenAttribute: OpenNode {
  private let attribute: Attribute
  /// As it was at the first read, so that one text is read to its end.
  private var bytes: [UInt8]?
  private var position = 0

  init(_ attribute: Attribute) { self.attribute = attribute }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?) throws(Errno) -> Int {
    guard let read = attribute.read else { throw .ioError }
    if bytes == nil || offset == 0 { bytes = try read() }
    let start = offset.map { Int(clamping: $0) } ?? position
    guard let bytes, start >= 0, start < bytes.count else { return 0 }
    let part = bytes[start..<min(bytes.count, start + buffer.count)]
    buffer.copyBytes(from: part)
    if offset == nil { position += part.count }
    return part.count
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    guard let write = attribute.write else { throw .ioError }
    try write(Array(bytes))
    return bytes.count
  }
}

/// A file that keeps what is written, such as firmware.
final class StoredFile: Node {
  var contents: [UInt8]

  init(_ contents: [UInt8] = [], permissions: UInt32 = 0o644) {
    self.contents = contents
    super.init(.file, permissions: permissions)
  }

  override var byteCount: UInt64 { UInt64(contents.count) }

  override func open(_ request: OpenRequest) throws(Errno) -> any OpenNode {
    if request.options.contains(.truncate) { contents = [] }
    return OpenStoredFile(self)
  }
}

private final class OpenStoredFile: OpenNode {
  private let file: StoredFile
  private var position = 0

  init(_ file: StoredFile) { self.file = file }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64?) throws(Errno) -> Int {
    let start = offset.map { Int(clamping: $0) } ?? position
    guard start >= 0, start < file.contents.count else { return 0 }
    let part = file.contents[start..<min(file.contents.count, start + buffer.count)]
    buffer.copyBytes(from: part)
    if offset == nil { position += part.count }
    return part.count
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    position = min(position, file.contents.count)
    let overwritten = min(bytes.count, file.contents.count - position)
    file.contents.replaceSubrange(position..<position + overwritten, with: bytes)
    position += bytes.count
    return bytes.count
  }
}

/// A device node; each opening of it is made by the driver behind it.
final class DeviceNode: Node {
  private let driver: (OpenRequest) throws(Errno) -> any OpenNode

  init(permissions: UInt32 = 0o600, _ driver: @escaping (OpenRequest) throws(Errno) -> any OpenNode) {
    self.driver = driver
    super.init(.characterDevice, permissions: permissions)
  }

  override func open(_ request: OpenRequest) throws(Errno) -> any OpenNode { try driver(request) }
}
