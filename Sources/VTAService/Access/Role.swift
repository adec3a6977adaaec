/// What somebody may do. Each role includes those before it.
package enum Role: String, Hashable, Sendable, CaseIterable, Comparable {
  /// Ask whether the daemon lives.
  case none
  /// Ask for models and run them.
  case infer
  /// Change what is served to everybody.
  case administer

  package static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }

  private var rank: Int {
    switch self {
    case .none: 0
    case .infer: 1
    case .administer: 2
    }
  }

  /// What somebody does who needs the role.
  var remedy: String {
    switch self {
    case .none: ""
    case .infer: "ask for membership of the daemon's infer_group, or a place in tcp.infer"
    case .administer:
      "that is for root, the daemon's own user, its admin_group and the certificates of tcp.administer"
    }
  }
}
