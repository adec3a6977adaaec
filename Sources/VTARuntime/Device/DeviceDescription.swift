package import VTA

/// What the outside may know of a device.
package struct DeviceDescription: Hashable, Sendable {
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    case simulator
  }

  package enum State: Hashable, Sendable, CustomStringConvertible {
    case ready
    /// A reset failed; every call is refused with the reason.
    case failed(String)
    case closed

    package var description: String {
      switch self {
      case .ready: "ready"
      case .failed(let reason): "failed: \(reason)"
      case .closed: "closed"
      }
    }
  }

  /// As it was asked for, resolved: `sim`, `sim:ultra96` (never `auto`).
  package var name: String
  package var kind: Kind
  /// `nil`: the device takes on each module's target.
  package var target: Target?
  package var state: State
  /// What the user must know of the choice, e.g. that `auto` found no board; `nil` if there is nothing to say.
  package var note: String?

  package init(name: String, kind: Kind, target: Target?, state: State = .ready, note: String? = nil) {
    self.name = name
    self.kind = kind
    self.target = target
    self.state = state
    self.note = note
  }
}
