package import SystemPackage

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

  /// Creates or replaces the file.
  package static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    do {
      let file = try FileDescriptor.open(
        FilePath(path), .writeOnly, options: [.create, .truncate],
        permissions: FilePermissions(rawValue: 0o666))
      _ = try file.closeAfter { try file.writeAll(bytes) }
    } catch let error as Errno {
      throw .system(path: path, error)
    } catch {
      throw .system(path: path, .ioError)
    }
  }
}

package enum FileError: Error, Equatable, CustomStringConvertible {
  case system(path: String, Errno)
  case tooLarge(path: String, limit: Int)

  package var description: String {
    switch self {
    case .system(let path, let error): "\(path): \(error)"
    case .tooLarge(let path, let limit): "\(path): the file has more than the \(limit) bytes that are allowed"
    }
  }
}
