internal import Foundation
internal import NIOSSL

/// The daemon's side of TLS: its own certificate, and those that sign its clients'.
enum ServerTLS {
  /// - Parameter protocols: By ALPN: `h2` or `http/1.1`.
  /// - Throws: ``ServiceError`` naming the file that can't be used.
  static func configuration(
    _ tcp: DaemonConfiguration.TCP, protocols: [String]
  ) throws(ServiceError) -> TLSConfiguration {
    let chain = try read("tcp.certificate", tcp.certificate) { try NIOSSLCertificate.fromPEMFile($0) }
    let key = try read("tcp.key", tcp.key) { try NIOSSLPrivateKey(file: $0, format: .pem) }
    let roots = try read("tcp.client_ca", tcp.clientCertificates) { try NIOSSLCertificate.fromPEMFile($0) }
    var configuration = TLSConfiguration.makeServerConfiguration(
      certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
    configuration.trustRoots = .certificates(roots)
    // A client has no name of its own to compare, but must show a certificate.
    configuration.certificateVerification = .noHostnameVerification
    configuration.minimumTLSVersion = .tlsv12
    configuration.applicationProtocols = protocols
    return configuration
  }

  static func context(
    _ tcp: DaemonConfiguration.TCP, protocols: [String]
  ) throws(ServiceError) -> NIOSSLContext {
    let configuration = try configuration(tcp, protocols: protocols)
    do {
      return try NIOSSLContext(configuration: configuration)
    } catch {
      throw ServiceError(
        .failedPrecondition, "the certificate \(tcp.certificate) and the key \(tcp.key) don't belong together"
      )
    }
  }

  private static func read<Value>(
    _ key: String, _ path: String, _ body: (String) throws -> Value
  ) throws(ServiceError) -> Value {
    do {
      return try body(path)
    } catch {
      let why =
        FileManager.default.isReadableFile(atPath: path)
        ? "is not a PEM file of that kind" : "can't be read; check the path and its permissions"
      throw ServiceError(.failedPrecondition, "the key '\(key)': \(path) \(why)")
    }
  }
}
