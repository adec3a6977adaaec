internal import VTAModule
private import VTAService

/// A `.vtab` file named on the command line.
enum ModuleInput {
  /// - Throws: ``Failure`` naming the file and the place that is damaged.
  static func read(_ path: String) throws(Failure) -> (bytes: [UInt8], file: ModuleFile) {
    let bytes = try FileInput.read(path, limit: ModuleReader.fileBytesMax)
    do { return (bytes, try ModuleReader.read(bytes)) } catch { throw Failure(path, error) }
  }

  /// Public keys, in hexadecimal digits, whose signatures of the module are right.
  /// - Throws: ``Failure`` if the section of signatures is damaged.
  static func signers(of bytes: [UInt8], at path: String) throws(Failure) -> [String] {
    do {
      return try ModuleSignature.signers(of: bytes).map { key in key.map(\.hex).joined() }
    } catch {
      throw Failure(path, error)
    }
  }
}
