package import Synchronization

/// What has happened since the start.
package final class ServiceCounters: Sendable {
  /// Answered.
  package let inferences = Atomic<UInt64>(0)
  /// Not answered yet.
  package let running = Atomic<Int>(0)

  package init() {}
}
