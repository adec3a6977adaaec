internal import GRPCCore
internal import Hummingbird
internal import Logging
internal import ServiceLifecycle

/// What the daemon serves on besides its Unix socket: nothing, unless the configuration says so.
struct NetworkAddresses {
  let configuration: DaemonConfiguration
  let core: InferenceProtocol
  let transport: @Sendable (CallTransport.Address) -> CallTransport
  let connections: ConnectionRegistry
  let memory: RequestMemory
  let live: LiveConfiguration
  let logger: Logger

  struct Address {
    let service: any Service
    /// Returns when it listens, or `false` when it never will.
    let isListening: @Sendable () async -> Bool
  }

  /// - Throws: ``ServiceError`` naming a certificate or key that can't be used.
  func addresses(rpc: [any RegistrableRPCService]) throws -> [Address] {
    var addresses: [Address] = []
    let (http, tcp) = (configuration.http, configuration.tcp)
    if let port = http.port {
      let endpoint = HTTPEndpoint(
        host: "127.0.0.1", port: port, identity: .loopback(http.isInferenceOpen ? .infer : .none),
        connections: connections, tls: nil)
      addresses.append(try application(endpoint, isLoopback: true))
    }
    if let port = tcp.httpPort {
      let endpoint = HTTPEndpoint(
        host: tcp.address, port: port, identity: .certificate(live), connections: connections,
        tls: try ServerTLS.configuration(tcp, protocols: ["http/1.1"]))
      addresses.append(try application(endpoint, isLoopback: false))
    }
    if let port = tcp.grpcPort {
      let context = try ServerTLS.context(tcp, protocols: ["h2"])
      let transport = transport(.tls(host: tcp.address, port: port, context))
      logger.info("grpc with TLS", metadata: ["address": "\(tcp.address)", "port": "\(port)"])
      addresses.append(
        Address(service: ServingService(server: GRPCServer(transport: transport, services: rpc))) {
          await transport.isListening
        })
    }
    return addresses
  }

  private func application(_ endpoint: HTTPEndpoint, isLoopback: Bool) throws -> Address {
    let routes = HTTPRoutes(
      core: core, observer: ServiceObserver(core: core, connections: connections, started: .now),
      connections: connections, memory: memory, maximumMessageBytes: configuration.maximumMessageBytes,
      isLoopback: isLoopback)
    let (listening, isListening) = AsyncStream.makeStream(of: Void.self)
    let service = try endpoint.application(routes) { [logger] port in
      logger.info(
        isLoopback ? "http" : "http with TLS", metadata: ["address": "\(endpoint.host)", "port": "\(port)"])
      isListening.finish()
    }
    return Address(service: service) {
      for await _ in listening {}
      return !Task.isCancelled
    }
  }
}
