internal import SystemPackage

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// Reads tensor data that a model keeps in files of its own, only from below the model's folder.
struct ExternalData {
  struct Range {
    var location: String
    var offset: Int
    var byteCount: Int
  }
  /// `nil`: the model did not come from a file, so external data cannot be found.
  let folder: FilePath?

  /// That the range exists; reads nothing.
  func check(_ range: Range, _ subject: String) throws(CompileError) {
    try open(range, subject) { _ throws(CompileError) in }
  }

  func read(_ range: Range, _ subject: String) throws(CompileError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 0)
    try open(range, subject) { file throws(CompileError) in
      bytes = [UInt8](repeating: 0, count: range.byteCount)
      var done = 0
      do {
        while done < bytes.count {
          let count = try bytes.withUnsafeMutableBytes {
            try file.read(
              fromAbsoluteOffset: Int64(range.offset + done), into: .init(rebasing: $0[done...]))
          }
          if count == 0 { break }
          done += count
        }
      } catch {
        throw CompileError(subject, "external data file \(quoted(range.location)) cannot be read: \(error)")
      }
      guard done == bytes.count else {
        throw CompileError(subject, "external data file \(quoted(range.location)) ended while it was read")
      }
    }
    return bytes
  }

  private func open(
    _ range: Range, _ subject: String, _ body: (FileDescriptor) throws(CompileError) -> Void
  ) throws(CompileError) {
    let name = quoted(range.location)
    guard let folder else {
      throw CompileError(subject, "external data \(name) needs the folder of the model, which is unknown")
    }
    let relative = FilePath(range.location)
    guard !range.location.isEmpty, !range.location.utf8.contains(0), relative.isRelative,
      !relative.components.contains(where: { $0.kind == .parentDirectory })
    else {
      throw CompileError(
        subject, "external data \(name) is refused: it must be a path below the model's folder, without ..",
        remedy: "export the model again with its data beside it")
    }
    guard let root = resolved(folder), let path = resolved(folder.appending(relative.components)) else {
      throw CompileError(
        subject, "external data file \(name) does not exist in \(folder.string)",
        remedy: "copy it there from where the model came")
    }
    guard path.starts(with: root), path != root else {
      throw CompileError(subject, "external data \(name) is refused: the link leaves the model's folder")
    }
    let file: FileDescriptor
    do {
      file = try FileDescriptor.open(path, .readOnly, options: [.noFollow, .nonBlocking, .closeOnExec])
    } catch {
      throw CompileError(subject, "external data file \(name) cannot be opened: \(error)")
    }
    defer { try? file.close() }
    var status = stat()
    guard fstat(file.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw CompileError(subject, "external data \(name) is no regular file")
    }
    let size = Int(clamping: status.st_size)
    guard size <= ImportLimits.fileBytes, range.offset <= size, range.byteCount <= size - range.offset else {
      throw CompileError(
        subject,
        "\(range.byteCount) bytes at offset \(range.offset) lie outside external data file \(name) of \(size) bytes",
        remedy: "the file is damaged or belongs to another model")
    }
    try body(file)
  }

  /// The absolute path with all links followed; `nil` if nothing is there.
  private func resolved(_ path: FilePath) -> FilePath? {
    guard let name = realpath(path.string, nil) else { return nil }
    defer { free(name) }
    return FilePath(platformString: name)
  }
}
