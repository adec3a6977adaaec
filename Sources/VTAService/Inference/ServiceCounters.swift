package import Synchronization

/// What has happened since the start.
package final class ServiceCounters: Sendable {
  package let inferences = Atomic<UInt64>(0)

  package init() {}
}
