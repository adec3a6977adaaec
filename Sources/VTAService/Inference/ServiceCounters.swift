package import Synchronization

/// What has happened since the start.
package final class ServiceCounters: Sendable {
  /// A failure that an operator may want to know of.
  struct Failure: Sendable {
    /// Seconds since 1970.
    let time: Double
    let kind: ServiceError.Kind
    let model: String
    let sentence: String
  }

  /// Failures that are kept.
  private static let failuresKept = 20

  /// Answered.
  package let inferences = Atomic<UInt64>(0)
  /// Not answered yet.
  package let running = Atomic<Int>(0)
  private let failed = Mutex<(counts: [ServiceError.Kind: UInt64], last: [Failure])>(([:], []))

  package init() {}

  /// Counts every failure, and keeps those that are not simply the client's mistake.
  func count(_ failure: Failure) {
    failed.withLock {
      $0.counts[failure.kind, default: 0] += 1
      guard failure.kind.concernsOperator else { return }
      if $0.last.count == Self.failuresKept { $0.last.removeFirst() }
      $0.last.append(failure)
    }
  }

  var failures: (counts: [ServiceError.Kind: UInt64], last: [Failure]) { failed.withLock { $0 } }
}

extension ServiceError.Kind {
  fileprivate var concernsOperator: Bool {
    switch self {
    case .failedPrecondition, .resourceExhausted, .unavailable, .deadlineExceeded, .internal: true
    case .invalidArgument, .notFound, .alreadyExists, .permissionDenied, .cancelled, .unimplemented: false
    }
  }

  /// In metrics.
  var label: String {
    switch self {
    case .invalidArgument: "invalid_argument"
    case .notFound: "not_found"
    case .alreadyExists: "already_exists"
    case .permissionDenied: "permission_denied"
    case .failedPrecondition: "failed_precondition"
    case .resourceExhausted: "resource_exhausted"
    case .unavailable: "unavailable"
    case .deadlineExceeded: "deadline_exceeded"
    case .cancelled: "cancelled"
    case .unimplemented: "unimplemented"
    case .internal: "internal"
    }
  }
}
