internal import VTAModule

/// Files named on the command line.
enum FileInput {
  /// Larger files are refused, so that a wrong path (a disk image, an endless device) is an error and no hang. ONNX files
  /// end at the same number, and so does Int on 32-bit machines.
  static let bytesMax = Int(Int32.max)

  /// - Throws: ``Failure`` naming the file and the reason that the system gives.
  static func read(_ path: String, limit: Int = bytesMax) throws(Failure) -> [UInt8] {
    do {
      return try File.read(path, limit: limit)
    } catch {
      throw Failure(path, "\(error.reason); check the path")
    }
  }
}
