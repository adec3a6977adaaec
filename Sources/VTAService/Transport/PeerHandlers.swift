internal import CVTALinux
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2
internal import SystemPackage

/// On each accepted connection: knows who is at the other end.
final class ConnectionPeerHandler: ChannelInboundHandler {
  typealias InboundIn = Any

  let caller: Caller

  init(caller: Caller) {
    self.caller = caller
  }

  /// Reads the credentials of a connection that was just accepted. Called on the channel's event loop.
  static func caller(of channel: any Channel, connection: ConnectionID) throws -> Caller {
    var peer = vta_peer()
    let status = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
      of: NIOBSDSocket.Handle.self
    ) { vta_peer_credentials($0, &peer) }
    guard let status, status == 0 else {
      throw ServiceError(
        .internal,
        "can't read the credentials of a client: \(Errno(rawValue: -(status ?? -Errno.notSocket.rawValue)))")
    }
    return Caller(uid: peer.uid, gid: peer.gid, pid: peer.pid, connection: connection)
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

  /// Puts a stamp in front of gRPC's handlers. Called on the stream's event loop, which is its connection's too,
  /// before the first frame is delivered.
  static func install(on stream: any Channel) -> EventLoopFuture<Void> {
    stream.eventLoop.makeCompletedFuture {
      guard let connection = stream.parent else {
        throw ServiceError(.internal, "an HTTP/2 stream has no connection")
      }
      let peer = try connection.pipeline.syncOperations.handler(type: ConnectionPeerHandler.self)
      try stream.pipeline.syncOperations.addHandler(
        PeerStampHandler(caller: peer.caller), position: .first)
    }
  }
}
