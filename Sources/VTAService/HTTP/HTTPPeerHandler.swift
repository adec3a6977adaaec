internal import HTTPTypes
internal import NIOCore
internal import NIOHTTPTypes
internal import NIOSSL

/// On each HTTP connection: knows who is at the other end, and puts it into each request, in place of whatever the client
/// says about itself.
final class HTTPPeerHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart

  /// Whom a connection stands for.
  enum Identity: Sendable {
    /// Everybody on this machine, with one role.
    case loopback(Role)
    /// The certificate that the client has shown.
    case certificate(LiveConfiguration)
  }

  private let identity: Identity
  private let connections: ConnectionRegistry
  private var connection: ConnectionID?
  private var stamp: String?

  init(identity: Identity, connections: ConnectionRegistry) {
    self.identity = identity
    self.connections = connections
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let connection = connections.opened()
    self.connection = connection
    context.channel.closeFuture.whenComplete { [connections] _ in connections.closed(connection) }
  }

  /// A client that has closed its side waits for nothing any more.
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed, let connection {
      connections.closed(connection)
    }
    context.fireUserInboundEventTriggered(event)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(var head) = unwrapInboundIn(data), let name = Self.header, let connection else {
      context.fireChannelRead(data)
      return
    }
    // The handshake is over when the first request comes.
    let stamp = stamp ?? caller(context, connection).headerValue
    self.stamp = stamp
    head.headerFields[values: name] = [stamp]
    context.fireChannelRead(wrapInboundOut(.head(head)))
  }

  static let header = HTTPField.Name(Caller.headerName)

  private func caller(_ context: ChannelHandlerContext, _ connection: ConnectionID) -> Caller {
    let caller =
      switch identity {
      case .loopback(let role): Caller(user: .loopback, role: role, connection: connection)
      case .certificate(let live):
        Caller(
          certificate: try? context.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
            .peerCertificate, policy: live.policy, connection: connection)
      }
    connections.identified(caller.user, on: connection)
    return caller
  }
}
