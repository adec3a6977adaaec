internal import CVTALinux
internal import NIOCore
internal import NIOSSL
internal import SystemPackage

/// Who is at the other end of a connection.
enum PeerIdentity {
  case known(Caller)
  /// Known when the handshake is over.
  case certificate(ConnectionID, policy: AccessPolicy, connections: ConnectionRegistry)

  /// Called on the connection's event loop when it has its first stream.
  func caller(on pipeline: ChannelPipeline.SynchronousOperations) -> Caller {
    switch self {
    case .known(let caller): return caller
    case .certificate(let connection, let policy, let connections):
      let certificate = try? pipeline.handler(type: NIOSSLServerHandler.self).peerCertificate
      let caller = Caller(certificate: certificate, policy: policy, connection: connection)
      connections.identified(caller.user, on: connection)
      return caller
    }
  }
}

extension Caller {
  /// Who connected through a Unix socket, as the kernel tells. Called on the event loop of the accepted channel.
  init(
    connectedThrough channel: any Channel, connection: ConnectionID, policy: AccessPolicy
  ) throws {
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
    self.init(user: .uid(peer.uid), role: role, pid: peer.pid, connection: connection)
  }
}
