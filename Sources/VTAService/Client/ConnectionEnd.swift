internal import NIOCore
internal import NIOHTTP2

/// How a connection to a daemon ended, or why there was none.
enum ConnectionEnd: Hashable, Sendable {
  case unreachable(String)
  /// Before both sides had agreed on TLS.
  case handshake(String)
  /// Afterwards, but before HTTP/2 began: with TLS 1.3 that is how a daemon refuses our certificate.
  case refused
  /// It was no HTTP/2.
  case foreign(String)
  /// Nothing came in ``UnaryClient/patience``.
  case silent
  case lost
}

extension DaemonAddress {
  /// For the person who asked.
  func error(_ end: ConnectionEnd) -> ServiceError {
    switch self {
    case .socket:
      if case .unreachable = end {
        do { try check() } catch { return error }
      }
      return ServiceError(.unavailable, "\(self): \(Self.sentence(end))")
    case .host(_, _, let credentials):
      return ServiceError(.unavailable, "\(self): \(Self.sentence(end, credentials))")
    }
  }

  private static func sentence(_ end: ConnectionEnd) -> String {
    switch end {
    case .unreachable(let why): "it can't be reached (\(why))"
    case .foreign(let why):
      "what listens there does not speak gRPC (\(why)); choose the daemon's socket with --socket"
    case .silent: "the daemon doesn't answer; look at its log"
    case .handshake, .refused, .lost: "the daemon closed the connection; look at its log"
    }
  }

  private static func sentence(_ end: ConnectionEnd, _ credentials: Credentials) -> String {
    switch end {
    case .unreachable(let why):
      "it can't be reached (\(why)); check the name, the port (tcp.grpc_port) and firewalls"
    case .refused:
      "the daemon does not accept the certificate \(credentials.certificate); have it signed by the authority of its tcp.client_ca"
    case .handshake(let why) where why.uppercased().contains("CERTIFICATE_VERIFY_FAILED"):
      "the daemon's certificate is not signed by \(credentials.authority); get the right ca.pem, or you talk to somebody else"
    case .handshake(let why)
    where why.contains("unableToValidateCertificate") || why.contains("failedToValidateHostname"):
      "the daemon's certificate is for another name; use the name that is in it"
    case .handshake(let why):
      "what answers there does not speak TLS as a daemon does (\(why)); check the port (tcp.grpc_port)"
    case .foreign(let why):
      "what answers there does not speak gRPC (\(why)); check the port (tcp.grpc_port)"
    case .silent:
      "no daemon answers there over TLS; check the name, tcp.grpc_port and the certificates of both sides"
    case .lost: "the daemon closed the connection; look at its log"
    }
  }
}

extension Error {
  /// For the middle of a sentence.
  var short: String { String("\(self)".prefix(160)) }
}
