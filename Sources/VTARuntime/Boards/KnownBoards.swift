internal import VTAModule

extension Board {
  private static let fileBytesMax = 1 << 16

  /// The boards that this build knows, sorted by name. Their files in `Configs/boards` are part of the program.
  package static let all: [Board] = embedded.compactMap { try? Board(json: $0) }

  /// One line per file; a test compares it with the folder.
  static let embedded: [[UInt8]] = [
    PackageResources.de10_nano_json,
    PackageResources.pynq_z1_json,
    PackageResources.pynq_z2_json,
    PackageResources.ultra96_v1_json,
    PackageResources.ultra96_v2_json,
    PackageResources.zcu102_json,
    PackageResources.zcu104_json,
  ]

  package static func named(_ name: String) -> Board? { all.first { $0.name == name } }

  /// A known board, or the one that a file describes.
  /// - Parameter name: `ultra96-v2`, or a path that ends in `.json`.
  package static func find(_ name: String) throws(BoardError) -> Board {
    if let board = named(name) { return board }
    guard name.hasSuffix(".json") else { throw .unknown(name: name) }
    let bytes: [UInt8]
    do {
      bytes = try File.read(name, limit: fileBytesMax)
    } catch {
      throw .unreadable(reason: "\(error)")
    }
    return try Board(json: bytes)
  }
}
