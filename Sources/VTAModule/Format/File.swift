package import SystemPackage

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// Whole files as bytes.
package enum File {
  /// Reads regular files and pipes alike.
  /// - Parameter limit: a longer file is refused; no more than this is ever held.
  package static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8] {
    do {
      let file = try FileDescriptor.open(FilePath(path), .readOnly)
      return try file.closeAfter {
        // Only a hint: a pipe has no size, a directory has a strange one.
        let size = (try? file.seek(offset: 0, from: .end)) ?? 0
        _ = try? file.seek(offset: 0, from: .start)
        return try read(file, path: path, limit: limit, expected: size <= Int64(limit) ? Int(size) : 0)
      }
    } catch let error as FileError {
      throw error
    } catch let error as Errno {
      throw .system(path: path, error)
    } catch {
      throw .system(path: path, .ioError)
    }
  }

  private static func read(
    _ file: FileDescriptor, path: String, limit: Int, expected: Int
  ) throws -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(expected)
    // One byte more than expected, so that the end of the file is seen without growing the array.
    var chunk = [UInt8](repeating: 0, count: max(min(expected, 1 << 24 - 1) + 1, 1 << 16))
    while true {
      let count = try chunk.withUnsafeMutableBytes { try file.read(into: $0) }
      if count == 0 { return bytes }
      guard count <= limit - bytes.count else { throw FileError.tooLarge(path: path, limit: limit) }
      bytes.append(contentsOf: chunk[..<count])
    }
  }

  /// Creates or replaces the file: it is there as a whole or not at all. A pipe or device is written to as it is.
  package static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    do {
      if isSpecial(path) {
        let file = try FileDescriptor.open(path, .writeOnly)
        _ = try file.closeAfter { try file.writeAll(bytes) }
        return
      }
      let temporary = "\(path).\(UInt32.random(in: .min ... .max)).part"
      let file = try FileDescriptor.open(
        temporary, .writeOnly, options: [.create, .exclusiveCreate],
        permissions: FilePermissions(rawValue: 0o666))
      do {
        _ = try file.closeAfter { try file.writeAll(bytes) }
        guard rename(temporary, path) == 0 else { throw Errno(rawValue: errno) }
      } catch {
        unlink(temporary)
        throw error
      }
    } catch let error as Errno {
      throw .system(path: path, error)
    } catch {
      throw .system(path: path, .ioError)
    }
  }

  /// Whether something is there that must not be replaced, such as /dev/stdout.
  private static func isSpecial(_ path: String) -> Bool {
    var status = stat()
    guard stat(path, &status) == 0 else { return false }
    let type = status.st_mode & S_IFMT
    return type != S_IFREG && type != S_IFDIR
  }
}

package enum FileError: Error, Equatable, CustomStringConvertible {
  case system(path: String, Errno)
  case tooLarge(path: String, limit: Int)

  package var description: String {
    switch self {
    case .system(let path, _), .tooLarge(let path, _): "\(path): \(reason)"
    }
  }

  /// The description without the path.
  package var reason: String {
    switch self {
    case .system(_, let error):
      // As the system says it, within a sentence.
      error.description.prefix(1).lowercased() + error.description.dropFirst()
    case .tooLarge(_, let limit): "the file has more than the \(limit) bytes that are allowed"
    }
  }
}
