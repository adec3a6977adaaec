internal import CVTALinux
internal import Glibc

/// Which role a caller has.
package struct AccessPolicy: Sendable {
  /// `nil`: whoever can connect may infer.
  let inferGroup: UInt32?
  /// `nil`: only root and the daemon's own user administer.
  let adminGroup: UInt32?
  /// By common name; `*` is any other.
  let certificateRoles: [String: Role]
  private let ownUser = geteuid()

  /// - Throws: ``ServiceError`` naming a group that doesn't exist.
  package init(
    inferGroup: String? = nil, adminGroup: String? = nil, certificateRoles: [String: Role] = [:]
  ) throws(ServiceError) {
    self.inferGroup = try Self.identifier(ofGroup: inferGroup, key: "infer_group")
    self.adminGroup = try Self.identifier(ofGroup: adminGroup, key: "admin_group")
    self.certificateRoles = certificateRoles
  }

  /// - Parameter groups: All groups of the process, its own group included.
  func role(uid: UInt32, groups: [UInt32]) -> Role {
    if uid == 0 || uid == ownUser { return .administer }
    if let adminGroup, groups.contains(adminGroup) { return .administer }
    guard let inferGroup else { return .infer }
    return groups.contains(inferGroup) ? .infer : .none
  }

  func role(certificate name: String) -> Role { certificateRoles[name] ?? certificateRoles["*"] ?? .none }

  private static func identifier(ofGroup name: String?, key: String) throws(ServiceError) -> UInt32? {
    guard let name, !name.isEmpty else { return nil }
    if let number = UInt32(name) { return number }
    var group: UInt32 = 0
    guard vta_group(name, &group) == 0 else {
      throw ServiceError(
        .failedPrecondition, "the key '\(key)': there is no group \(name); create it or name another one")
    }
    return group
  }
}
