import Foundation
import GRPCCore
import GRPCNIOTransportHTTP2
import Logging

@testable import VTAService

/// Runs a daemon in this process while `body` uses it, and lets it drain afterwards.
func withDaemon<Result: Sendable>(
  on socket: String, models: String? = nil, options: [String: String] = [:],
  _ body: @Sendable (Daemon) async throws -> Result
) async throws -> Result {
  var overrides = options
  overrides["socket"] = socket
  overrides["device"] = "sim"
  overrides["models"] = models
  let configuration = try await DaemonConfiguration(file: nil, overrides: overrides)
  let (ready, readiness) = AsyncStream.makeStream(of: String.self)
  let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  let daemon = try Daemon(
    configuration, logger: logger, logLevel: LogLevel(.critical), handlesSignals: false
  ) {
    readiness.yield($0)
    readiness.finish()
  }
  return try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await daemon.run() }
    for await _ in ready { break }
    do {
      let result = try await body(daemon)
      await daemon.stop()
      try await group.waitForAll()
      return result
    } catch {
      await daemon.stop()
      throw error
    }
  }
}

/// The stubs alone, for requests that our client would never send.
func withStubs<Result: Sendable>(
  of socket: String, authority: String? = nil,
  _ body: @Sendable (Inference_GRPCInferenceService.Client<HTTP2ClientTransport.Posix>) async throws -> Result
) async throws -> Result {
  var config = HTTP2ClientTransport.Posix.Config.defaults
  config.http2.authority = authority
  let transport = try HTTP2ClientTransport.Posix(
    target: .unixDomainSocket(path: socket), transportSecurity: .plaintext, config: config)
  return try await withGRPCClient(transport: transport) { try await body(.init(wrapping: $0)) }
}

extension VTAServiceClient {
  /// With the daemon of a test.
  static func connect<Result: Sendable>(
    to socket: String, _ body: @Sendable (VTAServiceClient) async throws -> Result
  ) async throws -> Result {
    try await connect(to: .socket(socket), body)
  }
}
