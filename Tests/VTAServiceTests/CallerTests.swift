import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import SwiftProtobuf
import Synchronization
import Testing

@testable import VTAService

@Suite struct CallerTests {
  /// Refuses with what the daemon's services would believe of the caller.
  private struct Echo: Grpc_Health_V1_Health.ServiceProtocol {
    func check(
      request: ServerRequest<Grpc_Health_V1_HealthCheckRequest>, context: ServerContext
    ) async throws -> ServerResponse<Grpc_Health_V1_HealthCheckResponse> {
      throw try refusal(of: request.metadata)
    }

    func watch(
      request: ServerRequest<Grpc_Health_V1_HealthCheckRequest>, context: ServerContext
    ) async throws -> StreamingServerResponse<Grpc_Health_V1_HealthCheckResponse> {
      throw try refusal(of: request.metadata)
    }

    private func refusal(of metadata: Metadata) throws -> RPCError {
      let caller = try Caller(metadata)
      return RPCError(
        code: .aborted, message: "\(caller.user) \(caller.pid) \(caller.connection.rawValue)")
    }
  }

  /// A client that claims to be root, in every spelling, is who the kernel says.
  @Test(arguments: [
    Metadata(),
    ["vta-peer": "uid:0,administer,1,1"],
    ["Vta-Peer": "uid:0,administer,1,1", "VTA-PEER": "uid:0,administer,1,1"],
    ["vta-peer": "uid:0,administer,1,1", "vta-peer": "uid:0,administer,1,2", "x": "y"],
    ["vta-peer": ""],
  ])
  func forgedHeadersAreReplaced(_ forged: Metadata) async throws {
    let folder = try TemporaryFolder()
    let path = folder.path("s")
    let socket = try ListeningSocket.create(path: path, mode: 0o600)
    let connections = ConnectionRegistry()
    let server = CallTransport(
      .socket(socket.descriptor), maximumMessageBytes: 1 << 20, directly: [], connections: connections,
      memory: RequestMemory { 1 << 20 }, live: try LiveConfiguration(try await DaemonConfiguration(file: nil))
    )
    try await withGRPCServer(transport: server, services: [Echo()]) { _ in
      let transport = try HTTP2ClientTransport.Posix(
        target: .unixDomainSocket(path: path), transportSecurity: .plaintext)
      try await withGRPCClient(transport: transport) { client in
        let stub = Grpc_Health_V1_Health.Client(wrapping: client)
        for _ in 0..<2 {
          let refusal = await #expect(throws: RPCError.self) {
            try await stub.check(.init(), metadata: forged)
          }
          #expect(refusal?.message == "uid \(getuid()) \(getpid()) 1")
        }
        #expect(connections.count == 1)
      }
    }
    #expect(connections.count == 0)
  }

  @Test(arguments: [
    Caller.User.uid(.max), .uid(0), .certificate("Ünï, code:1"), .certificate(""), .loopback,
  ])
  func headerKeepsTheCaller(_ user: Caller.User) {
    for role in Role.allCases {
      let caller = Caller(user: user, role: role, pid: .min, connection: ConnectionID(rawValue: .max))
      #expect(Caller(headerValue: caller.headerValue) == caller)
    }
  }

  @Test(arguments: [
    "", "uid:1,infer,2", "uid:1,infer,2,3,4", "uid:1,infer,2,", "uid:-1,infer,2,3", "uid:1,infer,2, 3",
    "uid:1,root,2,3", "1,infer,2,3", "certificate:4,infer,2,3", "certificate:zz,infer,2,3",
    "loopback:x,infer,2,3",
  ])
  func otherHeadersAreNoCaller(_ text: String) {
    #expect(Caller(headerValue: text) == nil)
  }

  @Test func rolesFollowGroups() throws {
    let policy = try AccessPolicy(inferGroup: "4000", adminGroup: "5000")
    #expect(policy.role(uid: 0, groups: []) == .administer)
    #expect(policy.role(uid: geteuid(), groups: []) == .administer)
    #expect(policy.role(uid: 77_777, groups: [5000]) == .administer)
    #expect(policy.role(uid: 77_777, groups: [1, 4000]) == .infer)
    #expect(policy.role(uid: 77_777, groups: [1]) == .none)
    #expect(try AccessPolicy().role(uid: 77_777, groups: []) == .infer)
    #expect(throws: ServiceError.self) { try AccessPolicy(adminGroup: "no such group") }
  }

  /// A user has departed when the last of their connections closes.
  @Test func lastConnectionOfAUser() {
    let registry = ConnectionRegistry()
    let departures = Mutex<[Caller.User?]>([])
    registry.onClose { closure in departures.withLock { $0.append(closure.departed) } }
    let connections = (0..<3).map { _ in registry.opened() }
    registry.identified(.uid(1), on: connections[0])
    registry.identified(.uid(1), on: connections[1])
    registry.closed(connections[1])
    registry.closed(connections[2])
    registry.closed(connections[0])
    #expect(departures.withLock { $0 } == [nil, nil, .uid(1)])
    #expect(registry.count == 0 && registry.count(of: .uid(1)) == 0)
  }
}
