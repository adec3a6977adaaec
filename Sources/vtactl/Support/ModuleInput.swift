internal import VTAModule

/// A `.vtab` file named on the command line.
enum ModuleInput {
  /// - Throws: ``Failure`` naming the file and the place that is damaged.
  static func read(_ path: String) throws(Failure) -> (bytes: [UInt8], file: ModuleFile) {
    let bytes = try FileInput.read(path, limit: ModuleReader.fileBytesMax)
    do { return (bytes, try ModuleReader.read(bytes)) } catch { throw Failure(path, error) }
  }
}
