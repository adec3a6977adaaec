private import Foundation
internal import VTAModule

/// Files that commands write.
enum FileOutput {
  /// The file is there as a whole or not at all.
  static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    do {
      try File.write(bytes, to: path)
    } catch {
      throw Failure(path, "it can't be written: \(error.reason); choose another place")
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
