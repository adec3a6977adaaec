internal import SystemPackage
internal import VTARuntime

/// All paths of the board.
final class FileTree {
  private let root = Folder()
  private static let linksMax = 40

  /// - Throws: `ENOENT`, `ENOTDIR`, `ELOOP`.
  func node(at path: String, followsLast: Bool = true) throws(Errno) -> Node {
    var rest = path.split(separator: "/").map(String.init)[...]
    var trail: [Folder] = []
    var here: Node = root
    var links = 0
    while let name = rest.popFirst() {
      guard let folder = here as? Folder else { throw .notDirectory }
      if name == "." { continue }
      if name == ".." {
        here = trail.popLast() ?? root
        continue
      }
      guard let next = folder[name] else { throw .noSuchFileOrDirectory }
      if let link = next as? Link, followsLast || !rest.isEmpty {
        links += 1
        guard links <= Self.linksMax else { throw .tooManySymbolicLinkLevels }
        if link.target.hasPrefix("/") { (here, trail) = (root, []) }
        rest = (link.target.split(separator: "/").map(String.init) + rest)[...]
      } else {
        trail.append(folder)
        here = next
      }
    }
    return here
  }

  func folder(at path: String) throws(Errno) -> Folder {
    guard let folder = try node(at: path) as? Folder else { throw .notDirectory }
    return folder
  }

  /// The folder that a path's last name is in, and that name.
  func parent(of path: String) throws(Errno) -> (folder: Folder, name: String) {
    let parts = path.split(separator: "/").map(String.init)
    guard let name = parts.last else { throw .resourceBusy }
    return (try folder(at: parts.dropLast().joined(separator: "/")), name)
  }

  // MARK: Assembly

  /// Puts a node at a path, and ordinary folders where there are none.
  func add(_ path: String, _ node: Node) {
    var parts = path.split(separator: "/").map(String.init)
    guard let name = parts.popLast() else { return }
    var folder = root
    for part in parts {
      if let next = folder[part] as? Folder {
        folder = next
      } else {
        let next = Folder()
        folder[part] = next
        folder = next
      }
    }
    folder[name] = node
  }

  func add(_ path: String, text: String, permissions: UInt32 = 0o444) {
    add(path, Attribute(permissions: permissions, text: { () throws(Errno) in text }))
  }

  /// A path that is not there any more, with all below it; one that never was is ignored.
  func remove(_ path: String) {
    guard let (folder, name) = try? parent(of: path) else { return }
    folder[name] = nil
  }
}
