package import Foundation

/// The committed inputs that fuzzing starts from.
package enum SeedFiles {
  package static let folder: URL =
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fixtures/fuzz")

  /// In the order of their names.
  package static func read(_ decoder: String) throws -> [(name: String, bytes: [UInt8])] {
    let place = folder.appending(path: decoder)
    return try FileManager.default.contentsOfDirectory(atPath: place.path).sorted().map {
      ($0, Array(try Data(contentsOf: place.appending(path: $0))))
    }
  }

  /// A program as a seed of the decoder `program`; `nil` if it is too large for that.
  package static func compact(_ program: MachineProgram) throws -> [UInt8]? {
    try CompactProgram.encode(program)
  }
}
