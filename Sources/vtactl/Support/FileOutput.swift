private import Foundation

/// Files that commands write.
enum FileOutput {
  /// Makes missing folders; the file is there as a whole or not at all.
  static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    let url = URL(filePath: path)
    do {
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: url, options: .atomic)
    } catch {
      throw Failure(path, "can't be written: \(error.localizedDescription) Choose another place")
    }
  }
}
