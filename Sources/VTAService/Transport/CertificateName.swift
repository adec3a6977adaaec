internal import NIOSSL
internal import SwiftASN1
internal import X509

/// Who a certificate that was verified stands for.
enum CertificateName {
  /// The subject's common name; empty if there is none.
  static func common(_ certificate: NIOSSLCertificate) -> String {
    guard let bytes = try? certificate.toDERBytes(), let decoded = try? Certificate(derEncoded: bytes) else {
      return ""
    }
    for name in decoded.subject {
      for attribute in name where attribute.type == .RDNAttributeType.commonName {
        return String(attribute.value) ?? ""
      }
    }
    return ""
  }
}

extension Caller {
  /// A client that has shown no certificate may do nothing but ask whether the daemon lives.
  init(certificate: NIOSSLCertificate?, policy: AccessPolicy, connection: ConnectionID) {
    let name = certificate.map(CertificateName.common) ?? ""
    self.init(
      user: .certificate(name), role: name.isEmpty ? .none : policy.role(certificate: name),
      connection: connection)
  }
}
