private import Foundation

/// Files named on the command line.
enum FileInput {
  /// - Throws: ``Failure`` naming the file and the reason that the system gives.
  static func read(_ path: String) throws(Failure) -> [UInt8] {
    do {
      return Array(try Data(contentsOf: URL(filePath: path)))
    } catch let error as CocoaError {
      let reason =
        switch error.code {
        case .fileReadNoSuchFile: "no such file; check the path"
        case .fileReadNoPermission: "permission denied; check who may read the file"
        default: "can't be read: \(error.localizedDescription)"
        }
      throw Failure(path, reason)
    } catch {
      throw Failure(path, "can't be read: \(error)")
    }
  }
}
