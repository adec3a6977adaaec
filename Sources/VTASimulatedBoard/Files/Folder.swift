internal import SystemPackage
internal import VTARuntime

/// Names and what they stand for.
final class Folder: Node {
  private(set) var children: [String: Node] = [:]
  /// Where a new folder is an object (configfs); `nil`: an ordinary one.
  private let make: ((String) throws(Errno) -> Folder)?
  /// Called when this folder is removed.
  private let whenRemoved: () -> Void
  /// Where a new file may be made; `nil`: nowhere.
  private let makeFile: ((String) throws(Errno) -> Node)?

  init(
    make: ((String) throws(Errno) -> Folder)? = nil, makeFile: ((String) throws(Errno) -> Node)? = nil,
    whenRemoved: @escaping () -> Void = {}
  ) {
    self.make = make
    self.makeFile = makeFile
    self.whenRemoved = whenRemoved
    super.init(.folder, permissions: 0o755)
  }

  subscript(name: String) -> Node? {
    get { children[name] }
    set { children[name] = newValue }
  }

  func makeFolder(_ name: String) throws(Errno) {
    guard children[name] == nil else { throw .fileExists }
    guard let make else { throw .notPermitted }
    children[name] = try make(name)
  }

  func makeFile(_ name: String) throws(Errno) -> Node {
    guard let makeFile else { throw .permissionDenied }
    let node = try makeFile(name)
    children[name] = node
    return node
  }

  func removeFolder(_ name: String) throws(Errno) {
    guard let child = children[name] else { throw .noSuchFileOrDirectory }
    guard let folder = child as? Folder else { throw .notDirectory }
    // An object's attributes go with it; other things must go first.
    guard folder.children.values.allSatisfy({ $0 is Attribute }) else { throw .directoryNotEmpty }
    children[name] = nil
    folder.whenRemoved()
  }

  func removeFile(_ name: String) throws(Errno) {
    guard let child = children[name] else { throw .noSuchFileOrDirectory }
    guard !(child is Folder) else { throw .isDirectory }
    guard makeFile != nil else { throw .notPermitted }
    children[name] = nil
  }
}

/// A symbolic link.
final class Link: Node {
  let target: String

  init(to target: String) {
    self.target = target
    super.init(.link, permissions: 0o777)
  }
}
