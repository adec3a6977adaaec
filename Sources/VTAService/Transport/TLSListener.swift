internal import Foundation
internal import GRPCNIOTransportHTTP2
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Accepts gRPC connections over TLS, and marks each with its client's certificate.
struct TLSListener: HTTP2ServerTransport.ListenerFactory {
  let address: String
  let port: Int
  let context: NIOSSLContext
  let connections: ConnectionRegistry
  let live: LiveConfiguration
  let eventLoopGroup: any EventLoopGroup

  typealias Connection = HTTP2ServerTransport.ConnectionConfigurator.ConnectionChannel

  func makeListeningChannel(
    listenerConfigurator: HTTP2ServerTransport.ListenerConfigurator,
    connectionConfigurator: HTTP2ServerTransport.ConnectionConfigurator
  ) async throws -> NIOAsyncChannel<Connection, Never> {
    try await ServerBootstrap(group: eventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .serverChannelInitializer { listenerConfigurator.configure(channel: $0) }
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .bind(host: address, port: port) { channel in
        channel.eventLoop.makeCompletedFuture { try identify(channel) }
          .flatMap {
            connectionConfigurator.configure(channel: channel, tls: .configured(requireALPN: false))
          }
          .flatMapError { error in
            channel.close().flatMapThrowing { throw error }
          }
      }
  }

  private func identify(_ channel: any Channel) throws {
    let connection = connections.opened()
    channel.closeFuture.whenComplete { [connections] _ in connections.closed(connection) }
    let pipeline = channel.pipeline.syncOperations
    try pipeline.addHandler(NIOSSLServerHandler(context: context))
    try pipeline.addHandler(
      ConnectionPeerHandler(.certificate(connection, policy: live.policy, connections: connections)))
  }

  func transport(_ streams: StreamConfigurator) -> HTTP2ServerTransport.Custom<TLSListener> {
    HTTP2ServerTransport.Custom(listenerFactory: self, config: .init(streams))
  }
}

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
