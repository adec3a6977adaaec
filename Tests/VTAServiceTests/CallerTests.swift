import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import NIOPosix
import SwiftProtobuf
import Testing

@testable import VTAService

@Suite struct CallerTests {
  /// Answers with what the daemon's services would believe of the caller.
  private struct Echo: Vta_V1_Daemon.ServiceProtocol {
    func status(
      request: ServerRequest<Vta_V1_StatusRequest>, context: ServerContext
    ) async throws -> ServerResponse<Vta_V1_StatusResponse> {
      let caller = try Caller(request.metadata)
      return ServerResponse(
        message: .with {
          $0.version = "\(caller.uid) \(caller.gid) \(caller.pid)"
          $0.inferences = caller.connection.rawValue
        })
    }
  }

  /// A client that claims to be root, in every spelling, is who the kernel says.
  @Test(arguments: [
    Metadata(),
    ["vta-peer": "0,0,1,1"],
    ["Vta-Peer": "0,0,1,1", "VTA-PEER": "0,0,1,1"],
    ["vta-peer": "0,0,1,1", "vta-peer": "0,0,1,2", "x": "y"],
    ["vta-peer": ""],
  ])
  func forgedHeadersAreReplaced(_ forged: Metadata) async throws {
    let folder = try TemporaryFolder()
    let path = folder.path("s")
    let socket = try ListeningSocket.create(path: path, mode: 0o600)
    let connections = ConnectionRegistry()
    let listener = UnixListener(
      descriptor: socket.descriptor, connections: connections,
      eventLoopGroup: MultiThreadedEventLoopGroup.singleton)
    try await withGRPCServer(transport: listener.transport(maximumMessageBytes: 1 << 20), services: [Echo()])
    { _ in
      let transport = try HTTP2ClientTransport.Posix(
        target: .unixDomainSocket(path: path), transportSecurity: .plaintext)
      try await withGRPCClient(transport: transport) { client in
        let stub = Vta_V1_Daemon.Client(wrapping: client)
        for _ in 0..<2 {
          let answer = try await stub.status(.init(), metadata: forged)
          #expect(answer.version == "\(getuid()) \(getgid()) \(getpid())")
          #expect(answer.inferences == 1)
        }
        #expect(connections.count == 1)
      }
    }
    #expect(connections.count == 0)
  }

  @Test func headerKeepsTheCaller() {
    let caller = Caller(uid: .max, gid: 0, pid: .min, connection: ConnectionID(rawValue: .max))
    #expect(Caller(headerValue: caller.headerValue) == caller)
    for text in ["", "1,2,3", "1,2,3,4,5", "1,2,3,", "-1,2,3,4", "1,2,3, 4", "1,2,x,4"] {
      #expect(Caller(headerValue: text) == nil)
    }
  }
}
