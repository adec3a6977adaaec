internal import CVTALinux
internal import Glibc
internal import NIOSSL
internal import SystemPackage

/// Where a daemon is.
package enum DaemonAddress: Hashable, Sendable, CustomStringConvertible {
  /// The certificate and key of the caller, and the certificates that sign daemons': PEM files.
  package struct Credentials: Hashable, Sendable {
    let certificate: String
    let key: String
    let authority: String

    package init(certificate: String, key: String, authority: String) {
      self.certificate = certificate
      self.key = key
      self.authority = authority
    }

    /// - Throws: ``ServiceError`` if they are no certificate, its key and certificates of signers.
    func context() throws(ServiceError) -> NIOSSLContext {
      do {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(certificate).map {
          .certificate($0)
        }
        configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: key, format: .pem))
        configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(authority))
        configuration.applicationProtocols = ["h2"]
        return try NIOSSLContext(configuration: configuration)
      } catch {
        throw ServiceError(
          .failedPrecondition,
          "\(certificate), \(key) and \(authority) can't be used together (\(error)); they must be a certificate, "
            + "its key and the certificates that sign daemons', as PEM")
      }
    }
  }

  /// On this machine.
  case socket(String)
  /// On another one, over TLS.
  case host(String, port: Int, Credentials)

  package static let defaultSocket = "/run/vtad/vtad.sock"
  package static let defaultPort = 8443

  package var description: String {
    switch self {
    case .socket(let path): path
    case .host(let host, let port, _): "\(host):\(port)"
    }
  }

  /// - Throws: ``ServiceError`` if nobody listens there, as far as that shows at once.
  func check() throws(ServiceError) {
    switch self {
    case .socket(let path): try Self.checkListener(path)
    case .host(_, _, let credentials):
      for file in [credentials.certificate, credentials.key, credentials.authority]
      where access(file, R_OK) != 0 {
        throw ServiceError(
          .failedPrecondition,
          "the certificate file \(file) can't be read; check the path and its permissions")
      }
      _ = try credentials.context()
    }
  }

  private static func checkListener(_ socket: String) throws(ServiceError) {
    let descriptor = vta_unix_connect(socket)
    if descriptor >= 0 {
      close(descriptor)
      return
    }
    let error = Errno(rawValue: -descriptor)
    let why =
      switch error {
      case .permissionDenied: "you may not connect to it; ask for membership of the socket's group"
      case .resourceTemporarilyUnavailable: "the daemon doesn't accept connections; look at its log"
      default:
        "no daemon listens there (\(error)); start vtad, or choose its socket with --socket"
      }
    throw ServiceError(.unavailable, "\(socket): \(why)")
  }
}
