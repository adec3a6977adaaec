internal import Foundation

/// The folder that models are served from: `DIR/NAME.vtab` is version 1 of NAME, `DIR/NAME/VERSION/model.vtab` that
/// version. Everything else in it is left alone. No path is made from a client's text but a checked model name.
package struct ModelDirectory: Sendable {
  package let path: String

  /// A file that claims to be a model.
  struct Candidate: Hashable, Sendable {
    let name: String
    let version: UInt64
    let path: String
    /// Why it can't be one, if that shows without reading it.
    var problem: String?
  }

  /// - Throws: ``ServiceError`` if there is no such folder or it can't be listed.
  package init(path: String) throws(ServiceError) {
    self.path = path
    _ = try candidates()
  }

  /// Sorted by name and version.
  func candidates() throws(ServiceError) -> [Candidate] {
    var found: [Candidate] = []
    for entry in try list(path) where !entry.hasPrefix(".") {
      let entryPath = path + "/" + entry
      if entry.hasSuffix(Self.suffix) {
        found.append(candidate(String(entry.dropLast(Self.suffix.count)), 1, entryPath))
      } else if Self.fileType(entryPath) == .typeDirectory {
        found += versions(of: entry, in: entryPath)
      }
    }
    found.sort { ($0.name, $0.version, $0.path) < ($1.name, $1.version, $1.path) }
    return found.map { candidate in
      let clash = found.first {
        $0.name == candidate.name && $0.version == candidate.version && $0 != candidate
      }
      guard let clash else { return candidate }
      var candidate = candidate
      candidate.problem = "\(candidate.path) and \(clash.path) are the same version; remove one"
      return candidate
    }
  }

  private static let suffix = ".vtab"
  private static let versionFile = "model.vtab"

  /// A folder that can't be listed keeps none of the others away.
  private func versions(of name: String, in folder: String) -> [Candidate] {
    guard let entries = try? list(folder) else {
      let problem = "\(folder) can't be listed; check its permissions"
      return [Candidate(name: name, version: 1, path: folder, problem: problem)]
    }
    return entries.compactMap { entry in
      guard let version = UInt64(entry), version > 0, String(version) == entry else { return nil }
      return candidate(name, version, "\(folder)/\(entry)/\(Self.versionFile)")
    }
  }

  private func candidate(_ name: String, _ version: UInt64, _ path: String) -> Candidate {
    let problem: String? =
      switch Self.fileType(path) {
      case .typeRegular: nil
      case nil: "\(path) does not exist or can't be looked at"
      default: "\(path) is not a regular file"
      }
    return Candidate(name: name, version: version, path: path, problem: problem)
  }

  /// A name that clients may give a model that is kept here.
  static func check(name: String) throws(ServiceError) {
    let isPlain = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
        true
      default: false
      }
    }
    guard isPlain, !name.isEmpty, name.utf8.count <= 200, !name.hasPrefix("."), !name.hasSuffix(suffix) else {
      throw ServiceError(
        .invalidArgument,
        "'\(name.prefix(200))' can't be the name of a kept model; use letters, digits, '_', '-' and '.'")
    }
  }

  /// Writes a version of a model so that it is there as a whole or not at all, whenever the machine stops.
  /// - Precondition: the name is checked.
  func store(_ bytes: [UInt8], as name: String, version: UInt64) throws(ServiceError) -> Candidate {
    do {
      return try DurableFile.store(bytes, in: path, name: name, version: version, file: Self.versionFile) {
        candidate(name, version, $0)
      }
    } catch {
      throw ServiceError(
        .failedPrecondition,
        "can't keep the model \(name) in \(path): \(error); check the folder's permissions and free space")
    }
  }

  /// Removes what a daemon that was stopped in the middle of ``store(_:as:version:)`` left behind.
  func removeUnfinished() {
    for entry in (try? list(path)) ?? [] where entry.hasPrefix(DurableFile.prefix) {
      try? FileManager.default.removeItem(atPath: path + "/" + entry)
    }
  }

  private func list(_ folder: String) throws(ServiceError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: folder)
    } catch {
      let why =
        Self.fileType(folder) == nil
        ? "it does not exist; create it or choose another one"
        : "it can't be listed; check that it is a folder and its permissions"
      throw ServiceError(.failedPrecondition, "the model folder \(folder): \(why)")
    }
  }

  /// Of what the path leads to, links followed.
  private static func fileType(_ path: String) -> FileAttributeType? {
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    return (try? FileManager.default.attributesOfItem(atPath: target))?[.type] as? FileAttributeType
  }
}
