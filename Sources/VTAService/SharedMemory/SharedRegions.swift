internal import Synchronization

/// The shared memory regions that clients have registered, each seen by the user it belongs to alone. They go when the
/// user's last connection closes.
final class SharedRegions: Sendable {
  /// Each holds a descriptor of the daemon.
  static let perUser = 256

  private struct Registration {
    let region: SharedRegion
    let connection: ConnectionID
  }

  private let regions = Mutex<[Caller.User: [String: Registration]]>([:])
  private let connections: ConnectionRegistry

  init(connections: ConnectionRegistry) {
    self.connections = connections
    connections.onClose { [weak self] closure in
      guard let user = closure.departed else { return }
      self?.regions.withLock { $0[user] = nil }
    }
  }

  /// - Throws: ``ServiceError``; `permissionDenied` if the region is not the caller's or can't be opened.
  func register(
    _ name: String, key: String, offset: UInt64, byteCount: UInt64, for caller: Caller
  ) throws(ServiceError) {
    guard case .uid(let uid) = caller.user else {
      throw ServiceError(
        .permissionDenied, "\(caller.user) can't use shared memory; only clients of the Unix socket can")
    }
    guard !name.isEmpty else {
      throw ServiceError(.invalidArgument, "a shared memory region needs a name; fill it in")
    }
    let region = try SharedRegion(name: name, key: key, offset: offset, byteCount: byteCount, owner: uid)
    let problem: ServiceError? = regions.withLock { regions in
      var own = regions[caller.user] ?? [:]
      if own[name] != nil {
        return ServiceError(
          .alreadyExists, "the shared memory region \(name) is registered already; unregister it first")
      }
      // What clients that were killed have left makes room.
      if own.count >= Self.perUser { own = own.filter { connections.isOpen($0.value.connection) } }
      guard own.count < Self.perUser else {
        return ServiceError(
          .resourceExhausted, "\(own.count) shared memory regions are registered already; unregister one")
      }
      // Nobody would forget it otherwise.
      guard connections.isOpen(caller.connection) else {
        return ServiceError(.cancelled, "the connection is closed")
      }
      own[name] = Registration(region: region, connection: caller.connection)
      regions[caller.user] = own
      return nil
    }
    if let problem { throw problem }
  }

  /// - Parameter name: Empty: all of the caller's.
  func unregister(_ name: String, for caller: Caller) {
    regions.withLock { regions in
      if name.isEmpty { regions[caller.user] = nil } else { regions[caller.user]?[name] = nil }
    }
  }

  func find(_ name: String, for caller: Caller) throws(ServiceError) -> SharedRegion {
    guard let region = regions.withLock({ $0[caller.user]?[name]?.region }) else {
      throw ServiceError(
        .notFound, "there is no shared memory region '\(name.prefix(200))'; register it first")
    }
    return region
  }

  /// - Parameter name: Empty: all of the caller's.
  func list(_ name: String, for caller: Caller) throws(ServiceError) -> [SharedRegion] {
    guard name.isEmpty else { return [try find(name, for: caller)] }
    return regions.withLock { ($0[caller.user] ?? [:]).values.map(\.region) }.sorted { $0.name < $1.name }
  }
}
