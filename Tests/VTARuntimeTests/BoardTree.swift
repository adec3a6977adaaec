import Foundation
import Testing

@testable import VTARuntime

/// A copy of a board's `/proc`, `/sys` and `/dev` in a folder of its own, as `vtactl doctor --root` reads it.
final class BoardTree {
  let root: String
  let kernel: LinuxKernel

  init() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "vta-board-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    root = folder.path
    kernel = LinuxKernel(root: root)
  }

  deinit { try? FileManager.default.removeItem(atPath: root) }

  func write(_ text: String, to path: String) throws {
    let file = URL(filePath: root + path)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: root + path) }

  func text(_ path: String) throws -> String { try String(contentsOfFile: root + path, encoding: .utf8) }
}
