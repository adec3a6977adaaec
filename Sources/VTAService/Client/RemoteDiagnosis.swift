internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import NIOTLS

/// Why a daemon on another machine does not answer: its name, the way to it, or certificates that one side does not trust.
struct RemoteDiagnosis {
  /// For each of the steps.
  private static let patience = TimeAmount.seconds(3)

  let host: String
  let port: Int
  let credentials: DaemonAddress.Credentials

  /// A sentence; `nil` if a connection is made and kept.
  func finding() async -> String? {
    let context: NIOSSLContext
    do {
      context = try credentials.context()
    } catch {
      return error.description
    }
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let end = loop.makePromise(of: End.self)
    let name = host.isAddress ? nil : host
    let bootstrap = ClientBootstrap(group: loop).connectTimeout(Self.patience).channelInitializer { channel in
      channel.eventLoop.makeCompletedFuture {
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: name))
        try pipeline.addHandler(Watcher(end: end))
      }
    }
    let channel: any Channel
    do {
      channel = try await bootstrap.connect(host: host, port: port).get()
    } catch {
      end.succeed(.open)
      return "it can't be reached (\(error.short)); check the name, the port (tcp.grpc_port) and firewalls"
    }
    loop.scheduleTask(in: Self.patience) { end.succeed(.open) }
    let how = try? await end.futureResult.get()
    try? await channel.close()
    return how?.sentence(credentials)
  }

  /// How the connection ended.
  enum End: Sendable {
    /// It did not.
    case open
    /// Before both sides had agreed.
    case handshake(String)
    /// Afterwards: with TLS 1.3 that is how a daemon refuses our certificate.
    case refused

    func sentence(_ credentials: DaemonAddress.Credentials) -> String? {
      switch self {
      case .open: nil
      case .refused:
        "the daemon does not accept the certificate \(credentials.certificate); have it signed by the authority of its tcp.client_ca"
      case .handshake(let why) where why.uppercased().contains("CERTIFICATE_VERIFY_FAILED"):
        "the daemon's certificate is not signed by \(credentials.authority); get the right ca.pem, or you talk to somebody else"
      case .handshake(let why)
      where why.contains("unableToValidateCertificate") || why.contains("failedToValidateHostname"):
        "the daemon's certificate is for another name; use the name that is in it"
      case .handshake(let why):
        "what answers there does not speak TLS as a daemon does (\(why)); check the port (tcp.grpc_port)"
      }
    }
  }

  private final class Watcher: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let end: EventLoopPromise<End>
    private var isAgreed = false

    init(end: EventLoopPromise<End>) { self.end = end }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if case .handshakeCompleted? = event as? TLSUserEvent { isAgreed = true }
      context.fireUserInboundEventTriggered(event)
    }

    /// The daemon's settings: it takes us.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { end.succeed(.open) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      end.succeed(isAgreed ? .refused : .handshake(error.short))
      context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
      end.succeed(isAgreed ? .refused : .handshake("it closed the connection"))
    }
  }
}

extension String {
  /// IPv4 or IPv6, for which a certificate's names are not looked at by TLS.
  fileprivate var isAddress: Bool { (try? SocketAddress(ipAddress: self, port: 0)) != nil }
}

extension Error {
  fileprivate var short: String { String("\(self)".prefix(160)) }
}
