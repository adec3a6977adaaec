internal import Synchronization

/// The part of the configuration that a running daemon takes on again (SIGHUP).
final class LiveConfiguration: Sendable {
  private struct State {
    var policy: AccessPolicy
    var quota: UserQuota
    var runDeadline: Duration?
    var signatures: SignaturePolicy
  }

  private let state: Mutex<State>

  init(_ configuration: DaemonConfiguration) throws(ServiceError) {
    state = Mutex(try Self.state(configuration))
  }

  /// For connections that are accepted from now on.
  var policy: AccessPolicy { state.withLock { $0.policy } }
  /// For connections that are accepted from now on.
  var connectionsPerUser: Int { state.withLock { $0.quota.connections } }
  /// Of one user; for requests that come from now on.
  var requestBytes: Int { state.withLock { $0.quota.requestBytes } }
  /// Of one run, waiting included; `nil`: none.
  var runDeadline: Duration? { state.withLock { $0.runDeadline } }
  /// For modules that are loaded from now on.
  var signatures: SignaturePolicy { state.withLock { $0.signatures } }

  /// - Throws: ``ServiceError`` if it can't be used; nothing is changed then.
  func take(_ configuration: DaemonConfiguration) throws(ServiceError) {
    let new = try Self.state(configuration)
    state.withLock { $0 = new }
  }

  private static func state(_ configuration: DaemonConfiguration) throws(ServiceError) -> State {
    State(
      policy: try AccessPolicy(
        inferGroup: configuration.inferGroup, adminGroup: configuration.adminGroup,
        certificateRoles: configuration.tcp.roles),
      quota: configuration.quota, runDeadline: configuration.runDeadline, signatures: configuration.signatures
    )
  }
}
