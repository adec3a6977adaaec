internal import NIOCore
internal import Synchronization

/// The open connections and who is at the other end of each. Tells its observers when one has closed.
package final class ConnectionRegistry: Sendable {
  package struct Closure: Sendable {
    package let connection: ConnectionID
    /// Whose last connection it was; `nil` if there are others, or nobody was identified.
    package let departed: Caller.User?
  }

  private struct State {
    var next: UInt64 = 1
    var open: [ConnectionID: Caller.User?] = [:]
    var perUser: [Caller.User: Int] = [:]
    var observers: [@Sendable (Closure) -> Void] = []
    var nextWatch: UInt64 = 0
    var watches: [ConnectionID: [UInt64: @Sendable () -> Void]] = [:]
  }

  private let state = Mutex(State())

  package init() {}

  package var count: Int { state.withLock { $0.open.count } }

  package func count(of user: Caller.User) -> Int { state.withLock { $0.perUser[user] ?? 0 } }

  package func isOpen(_ connection: ConnectionID) -> Bool {
    state.withLock { $0.open[connection] != nil }
  }

  /// - Parameter action: Called once per connection after ``isOpen(_:)`` has turned false, on an event loop: must
  ///   not block.
  package func onClose(_ action: @escaping @Sendable (Closure) -> Void) {
    state.withLock { $0.observers.append(action) }
  }

  /// Something to be done when one connection closes.
  struct Watch: Sendable {
    fileprivate let connection: ConnectionID
    fileprivate let number: UInt64
  }

  /// - Parameter action: Called at most once, at once if the connection is closed already; must not block.
  func whenClosed(_ connection: ConnectionID, _ action: @escaping @Sendable () -> Void) -> Watch {
    let (watch, isOpen) = state.withLock { state in
      let watch = Watch(connection: connection, number: state.nextWatch)
      state.nextWatch += 1
      let isOpen = state.open[connection] != nil
      if isOpen { state.watches[connection, default: [:]][watch.number] = action }
      return (watch, isOpen)
    }
    if !isOpen { action() }
    return watch
  }

  func forget(_ watch: Watch) {
    state.withLock { _ = $0.watches[watch.connection]?.removeValue(forKey: watch.number) }
  }

  func opened() -> ConnectionID {
    state.withLock {
      let connection = ConnectionID(rawValue: $0.next)
      $0.next += 1
      $0.open[connection] = .some(nil)
      return connection
    }
  }

  /// Has no effect on a connection that is closed.
  func identified(_ user: Caller.User, on connection: ConnectionID) {
    state.withLock {
      guard case .some(nil) = $0.open[connection] else { return }
      $0.open[connection] = .some(user)
      $0.perUser[user, default: 0] += 1
    }
  }

  /// Has no effect on a connection that is closed.
  func closed(_ connection: ConnectionID) {
    let notice = state.withLock {
      state -> (Closure, [@Sendable () -> Void], [@Sendable (Closure) -> Void])? in
      guard let user = state.open.removeValue(forKey: connection) else { return nil }
      let watches = state.watches.removeValue(forKey: connection) ?? [:]
      var departed: Caller.User?
      if let user {
        let left = (state.perUser[user] ?? 1) - 1
        state.perUser[user] = left == 0 ? nil : left
        if left == 0 { departed = user }
      }
      return (Closure(connection: connection, departed: departed), Array(watches.values), state.observers)
    }
    guard let (closure, watches, observers) = notice else { return }
    for watch in watches { watch() }
    for observer in observers { observer(closure) }
  }
}
