internal import Synchronization

/// Whether the daemon is going down. gRPC cancels calls when it begins to shut down as well as when their client leaves;
/// the first kind must go on.
package final class Drain: Sendable {
  private let flag = Atomic(false)

  package init() {}

  package var hasBegun: Bool { flag.load(ordering: .acquiring) }

  package func begin() { flag.store(true, ordering: .releasing) }
}
