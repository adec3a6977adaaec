internal import NIOCore
internal import Synchronization

/// The open connections. Tells one observer when one has closed.
package final class ConnectionRegistry: Sendable {
  private struct State {
    var next: UInt64 = 1
    var open: Set<ConnectionID> = []
    var onClose: (@Sendable (ConnectionID) -> Void)?
  }

  private let state = Mutex(State())

  package init() {}

  package var count: Int { state.withLock { $0.open.count } }

  package func isOpen(_ connection: ConnectionID) -> Bool {
    state.withLock { $0.open.contains(connection) }
  }

  /// - Parameter action: Called once per connection after ``isOpen(_:)`` has turned false, on an event loop: must
  ///   not block.
  package func onClose(_ action: @escaping @Sendable (ConnectionID) -> Void) {
    state.withLock { $0.onClose = action }
  }

  func opened() -> ConnectionID {
    state.withLock {
      let connection = ConnectionID(rawValue: $0.next)
      $0.next += 1
      $0.open.insert(connection)
      return connection
    }
  }

  func closed(_ connection: ConnectionID) {
    let action = state.withLock {
      $0.open.remove(connection)
      return $0.onClose
    }
    action?(connection)
  }
}
