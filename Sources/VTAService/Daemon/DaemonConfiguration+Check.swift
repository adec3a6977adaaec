internal import Foundation

extension DaemonConfiguration {
  /// Looks at what the configuration names, without taking hold of anything.
  /// - Throws: ``ServiceError`` naming the key.
  package func check() throws(ServiceError) {
    _ = try LiveConfiguration(self)
    if let models { _ = try ModelDirectory(path: models) }
    try checkCertificates()
    let folder = URL(fileURLWithPath: socket).deletingLastPathComponent().path
    guard FileManager.default.fileExists(atPath: folder) else {
      throw ServiceError(
        .failedPrecondition, "the key 'socket': the folder \(folder) does not exist; create it first")
    }
  }

  /// - Throws: ``ServiceError`` naming the file that can't be used, if other machines are served.
  func checkCertificates() throws(ServiceError) {
    if tcp.grpcPort != nil || tcp.httpPort != nil { _ = try ServerTLS.context(tcp, protocols: []) }
  }
}
