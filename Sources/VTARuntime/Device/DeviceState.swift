/// Whether a device answers.
///
///     ready ──── a run fails ────▶ recovering ──── reset, self-test, models restored ────▶ ready
///                                   │      ▲
///                                   │      └── a step of it fails: the next request tries again
///                                   │
///                                   └── the third failure without a good run in between ──▶ outOfService
///
/// A device that is out of service stays so; from every state it can be closed, and from that nothing leads back.
package enum DeviceState: Hashable, Sendable, CustomStringConvertible {
  case ready
  /// Nothing runs before the accelerator was reset.
  case recovering(String)
  /// Every call is refused with the reason.
  case outOfService(String)
  case closed

  /// Failures without a good run in between, after which a device is taken out of service.
  static let failuresMax = 3

  func canBecome(_ next: DeviceState) -> Bool {
    switch (self, next) {
    case (.ready, .recovering), (.recovering, .ready), (.recovering, .recovering): true
    case (.recovering, .outOfService): true
    case (.closed, _): false
    case (_, .closed): true
    case (.ready, _), (.recovering, _), (.outOfService, _): false
    }
  }

  package var description: String {
    switch self {
    case .ready: "ready"
    case .recovering(let reason): "recovering: \(reason)"
    case .outOfService(let reason): "out of service: \(reason)"
    case .closed: "closed"
    }
  }
}
