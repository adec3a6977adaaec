private import Foundation

/// Files that commands write.
enum FileOutput {
  /// The file is there as a whole or not at all.
  static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    do {
      try Data(bytes).write(to: URL(filePath: path), options: .atomic)
    } catch {
      throw Failure(path, "can't be written: \(error.localizedDescription) Choose another place")
    }
  }

  static func makeFolder(_ path: String) throws(Failure) {
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      throw Failure(path, "the folder can't be made; choose another one")
    }
  }
}
