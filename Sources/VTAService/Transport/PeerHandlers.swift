internal import CVTALinux
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2
internal import NIOSSL
internal import SystemPackage

/// On each accepted connection: knows who is at the other end.
final class ConnectionPeerHandler: ChannelInboundHandler {
  typealias InboundIn = Any

  enum Identity {
    case known(Caller)
    /// Known when the handshake is over.
    case certificate(ConnectionID, policy: AccessPolicy, connections: ConnectionRegistry)
  }

  private var identity: Identity

  init(_ identity: Identity) { self.identity = identity }

  /// Called on the connection's event loop when it has its first stream.
  func caller(on pipeline: ChannelPipeline.SynchronousOperations) -> Caller {
    switch identity {
    case .known(let caller): return caller
    case .certificate(let connection, let policy, let connections):
      let certificate = try? pipeline.handler(type: NIOSSLServerHandler.self).peerCertificate
      let caller = Caller(certificate: certificate, policy: policy, connection: connection)
      connections.identified(caller.user, on: connection)
      identity = .known(caller)
      return caller
    }
  }

  /// Reads the credentials of a connection that was just accepted. Called on the channel's event loop.
  static func caller(
    of channel: any Channel, connection: ConnectionID, policy: AccessPolicy
  ) throws -> Caller {
    var peer = vta_peer()
    // More than a process can have.
    var groups = [UInt32](repeating: 0, count: 1 << 16)
    var groupCount: CInt = 0
    let status = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
      of: NIOBSDSocket.Handle.self
    ) { socket in
      groupCount = vta_peer_groups(socket, &groups, groups.count)
      return vta_peer_credentials(socket, &peer)
    }
    guard let status, status == 0, groupCount >= 0 else {
      let code = min(status ?? -Errno.notSocket.rawValue, groupCount)
      throw ServiceError(
        .internal, "can't read the credentials of a client: \(Errno(rawValue: -code))")
    }
    let role = policy.role(uid: peer.uid, groups: [peer.gid] + groups.prefix(Int(groupCount)))
    return Caller(user: .uid(peer.uid), role: role, pid: peer.pid, connection: connection)
  }
}

/// On each HTTP/2 stream, before gRPC: replaces whatever the client says about itself by what the kernel says.
final class PeerStampHandler: ChannelInboundHandler {
  typealias InboundIn = HTTP2Frame.FramePayload
  typealias InboundOut = HTTP2Frame.FramePayload

  private let caller: Caller
  private var isStamped = false

  init(caller: Caller) {
    self.caller = caller
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .headers(var payload) = unwrapInboundIn(data) else {
      context.fireChannelRead(data)
      return
    }
    payload.headers.remove(name: Caller.headerName)
    if !isStamped {
      // Later header blocks of a stream are trailers, which no handler reads.
      payload.headers.add(name: Caller.headerName, value: caller.headerValue)
      isStamped = true
    }
    context.fireChannelRead(wrapInboundOut(.headers(payload)))
  }
}
