internal import CVTALinux
internal import GRPCNIOTransportHTTP2
internal import Glibc
internal import NIOCore
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

  /// Why a daemon that does not answer may be silent.
  var silence: String {
    switch self {
    case .socket: "\(self): the daemon closed the connection; look at its log"
    case .host:
      "\(self): no daemon answers there over TLS; check the name, tcp.grpc_port and the certificates of both sides"
    }
  }

  /// The same after a look, since gRPC does not say what went wrong.
  var examinedSilence: String {
    get async {
      guard case .host(let host, let port, let credentials) = self,
        let finding = await RemoteDiagnosis(host: host, port: port, credentials: credentials).finding()
      else { return silence }
      return "\(self): \(finding)"
    }
  }

  /// - Throws: ``ServiceError`` if nobody listens there, as far as that shows at once: gRPC would try for a long time,
  ///   and never say why.
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

  func transport(
    _ config: HTTP2ClientTransport.Posix.Config, on eventLoop: any EventLoop
  ) throws -> HTTP2ClientTransport.Posix {
    var config = config
    switch self {
    case .socket(let path):
      // Otherwise the percent-encoded path, which strict servers refuse.
      config.http2.authority = "localhost"
      return try HTTP2ClientTransport.Posix(
        target: .unixDomainSocket(path: path), transportSecurity: .plaintext, config: config,
        eventLoopGroup: eventLoop)
    case .host(let host, let port, let credentials):
      let security = HTTP2ClientTransport.Posix.TransportSecurity.mTLS(
        certificateChain: [.file(path: credentials.certificate, format: .pem)],
        privateKey: .file(path: credentials.key, format: .pem)
      ) { $0.trustRoots = .certificates([.file(path: credentials.authority, format: .pem)]) }
      return try HTTP2ClientTransport.Posix(
        target: .dns(host: host, port: port), transportSecurity: security, config: config,
        eventLoopGroup: eventLoop)
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
