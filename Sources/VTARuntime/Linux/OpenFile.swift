package import SystemPackage

/// An open file or device, closed when nobody refers to it any more.
package final class OpenFile {
  package let path: String
  package let descriptor: CInt
  package let kernel: any Kernel

  package init(
    _ path: String, _ mode: FileDescriptor.AccessMode, _ options: FileDescriptor.OpenOptions = [],
    on kernel: any Kernel
  ) throws(KernelError) {
    self.path = path
    self.kernel = kernel
    descriptor = try kernel.open(path, mode, options.union(.closeOnExec))
  }

  /// Takes over a descriptor that a call gave, e.g. an ioctl.
  /// - Parameter path: names it in error messages.
  package init(adopting descriptor: CInt, path: String, on kernel: any Kernel) {
    self.path = path
    self.kernel = kernel
    self.descriptor = descriptor
  }

  deinit { kernel.close(descriptor) }

  /// Fills the whole array.
  /// - Parameter offset: `nil`: from the file's own position on.
  package func read<Element: BitwiseCopyable>(
    _ elements: inout [Element], at offset: Int64?
  ) throws(KernelError) {
    do {
      try elements.withUnsafeMutableBytes { bytes in
        var done = 0
        while done < bytes.count {
          let rest = UnsafeMutableRawBufferPointer(rebasing: bytes[done...])
          let count = try kernel.read(descriptor, into: rest, at: offset.map { $0 + Int64(done) })
          guard count > 0 else { throw Errno.ioError }
          done += count
        }
      }
    } catch {
      throw KernelError("read", path, (error as? KernelError)?.code ?? .ioError)
    }
  }

  package func ioctl<Argument>(
    _ request: UInt, _ name: String, _ argument: inout Argument
  ) throws(KernelError) {
    do {
      try withUnsafeMutableBytes(of: &argument) { try kernel.ioctl(descriptor, request, $0) }
    } catch let error as KernelError {
      throw KernelError("ioctl \(name)", path, error.code)
    } catch {
      throw KernelError("ioctl \(name)", path, .ioError)
    }
  }

  package func writeAll(_ bytes: some Collection<UInt8>) throws(KernelError) {
    var rest = Array(bytes)[...]
    while !rest.isEmpty {
      let count: Int
      do {
        count = try rest.withUnsafeBytes { try kernel.write(descriptor, $0) }
      } catch {
        throw KernelError("write", path, (error as? KernelError)?.code ?? .ioError)
      }
      guard count > 0 else { throw KernelError("write", path, .ioError) }
      rest = rest.dropFirst(count)
    }
  }
}

/// Memory mapped from an open file, unmapped when nobody refers to it any more. Keeps the file open.
package final class MappedMemory {
  package let file: OpenFile
  package let bytes: UnsafeMutableRawBufferPointer

  package init(_ file: OpenFile, offset: UInt64 = 0, byteCount: Int) throws(KernelError) {
    self.file = file
    bytes = try file.kernel.map(file.descriptor, offset: offset, byteCount: byteCount)
  }

  deinit { file.kernel.unmap(bytes) }
}

/// Attributes of sysfs, procfs and configfs: small files that hold text.
extension Kernel {
  private static var attributeBytesMax: Int { 1 << 16 }

  /// The whole file, at most 64 KiB of it.
  package func bytes(of path: String) throws(KernelError) -> [UInt8] {
    let file = try OpenFile(path, .readOnly, on: self)
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while result.count < Self.attributeBytesMax {
      let count: Int
      do {
        count = try chunk.withUnsafeMutableBytes { try read(file.descriptor, into: $0, at: nil) }
      } catch {
        throw KernelError("read", path, (error as? KernelError)?.code ?? .ioError)
      }
      if count == 0 { break }
      result += chunk[..<count]
    }
    return result
  }

  /// The file's text without the white space at its end.
  package func text(of path: String) throws(KernelError) -> String {
    var bytes = try bytes(of: path)[...]
    while let last = bytes.last, last == 0 || last == 10 || last == 13 || last == 32 { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// A number as sysfs writes it: decimal, or hexadecimal after `0x`.
  package func number(of path: String) throws(KernelError) -> UInt64 {
    let text = try text(of: path)
    let value = text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    guard let value else { throw KernelError("read a number from", path, .invalidArgument) }
    return value
  }

  /// Writes an attribute in one call, as sysfs wants it.
  package func write(_ text: String, to path: String) throws(KernelError) {
    try OpenFile(path, .writeOnly, on: self).writeAll(Array(text.utf8))
  }

  package func exists(_ path: String) -> Bool { (try? status(of: path)) != nil }
}
