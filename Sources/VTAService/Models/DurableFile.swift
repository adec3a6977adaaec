internal import Foundation
internal import Glibc
internal import SystemPackage

/// Files that are there as a whole or not at all.
enum DurableFile {
  /// Of folders that are not finished; hidden, so that no model is looked for in them.
  static let prefix = ".unfinished-"

  /// Writes `DIR/NAME/VERSION/FILE`, or `DIR/NAME.vtab` if version 1 is there already. All bytes are on the disk before
  /// the name is.
  /// - Parameter finish: Makes the result from the path.
  static func store<Result>(
    _ bytes: [UInt8], in folder: String, name: String, version: UInt64, file: String,
    finish: (String) -> Result
  ) throws -> Result {
    let unfinished = "\(folder)/\(prefix)\(UUID().uuidString)"
    try make(unfinished)
    defer { try? FileManager.default.removeItem(atPath: unfinished) }
    let written = "\(unfinished)/\(file)"
    try write(bytes, to: written)
    try synchronize(unfinished)

    let flat = "\(folder)/\(name).vtab"
    if version == 1, access(flat, F_OK) == 0 {
      try move(written, to: flat)
      try synchronize(folder)
      return finish(flat)
    }
    let model = "\(folder)/\(name)"
    if mkdir(model, 0o755) != 0, errno != EEXIST { throw Errno(rawValue: errno) }
    try synchronize(folder)
    let place = "\(model)/\(version)"
    if access(place, F_OK) == 0 {
      try move(written, to: "\(place)/\(file)")
      try synchronize(place)
    } else {
      try move(unfinished, to: place)
    }
    try synchronize(model)
    return finish("\(place)/\(file)")
  }

  private static func make(_ folder: String) throws {
    guard mkdir(folder, 0o755) == 0 else { throw Errno(rawValue: errno) }
  }

  private static func move(_ source: String, to target: String) throws {
    guard rename(source, target) == 0 else { throw Errno(rawValue: errno) }
  }

  private static func write(_ bytes: [UInt8], to path: String) throws {
    let file = try FileDescriptor.open(
      path, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
      permissions: [.ownerReadWrite, .groupRead, .otherRead])
    try file.closeAfter {
      try file.writeAll(bytes)
      guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
    }
  }

  /// Names in a folder are on the disk when the folder is.
  private static func synchronize(_ folder: String) throws {
    let file = try FileDescriptor.open(folder, .readOnly, options: [.directory, .closeOnExec])
    try file.closeAfter {
      guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
    }
  }
}
