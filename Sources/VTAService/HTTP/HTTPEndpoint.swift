internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import HummingbirdTLS
internal import Logging
internal import NIOCore
internal import NIOSSL

/// What the HTTP handlers of a request know besides it.
struct HTTPContext: RequestContext {
  var coreContext: CoreRequestContextStorage

  init(source: ApplicationRequestContextSource) { coreContext = .init(source: source) }
}

/// An address that answers HTTP/1.1.
struct HTTPEndpoint {
  /// Connections that may be open; more wait in the listener's queue.
  static let connectionsMax = 1024
  /// After which a connection that does nothing is closed.
  static let idleTimeout = TimeAmount.seconds(120)

  let host: String
  let port: Int
  let identity: HTTPPeerHandler.Identity
  let connections: ConnectionRegistry
  /// `nil`: in the clear.
  let tls: TLSConfiguration?

  /// - Parameter isListening: Called once with the port, which is another one than ``port`` if that is 0.
  func application(
    _ routes: HTTPRoutes, isListening: @escaping @Sendable (Int) -> Void
  ) throws -> some ApplicationProtocol {
    let (identity, connections) = (identity, connections)
    var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
    decoder.maxHeaderFieldSize = 16 << 10
    decoder.maxHeaderListSize = 64 << 10
    decoder.maxHeaderFieldCount = 128
    let channel = HTTP1Channel.Configuration(
      additionalChannelHandlers: [HTTPPeerHandler(identity: identity, connections: connections)],
      idleTimeout: Self.idleTimeout, httpDecoderConfiguration: decoder)
    let plain = HTTPServerBuilder.http1(configuration: channel)
    let silent = Logger(label: "http") { _ in SwiftLogNoOpLogHandler() }
    return Application(
      router: routes.router(), server: try tls.map { try .tls(plain, tlsConfiguration: $0) } ?? plain,
      configuration: ApplicationConfiguration(
        address: .hostname(host, port: port), serverName: "vtad",
        availableConnectionsDelegate: .maximum(Self.connectionsMax, logger: silent)),
      onServerRunning: { isListening($0.localAddress?.port ?? 0) }, logger: silent)
  }
}
