internal import Synchronization

/// Whether the daemon is going down.
package final class Drain: Sendable {
  private let flag = Atomic(false)

  package init() {}

  package var hasBegun: Bool { flag.load(ordering: .acquiring) }

  package func begin() { flag.store(true, ordering: .releasing) }
}
