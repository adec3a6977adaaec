internal import SystemPackage

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// A user, as far as file permissions go.
package struct UserIdentity: Hashable, Sendable {
  package let name: String
  package let identifier: UInt32
  package let groups: Set<UInt32>

  package init(name: String, identifier: UInt32, groups: Set<UInt32>) {
    self.name = name
    self.identifier = identifier
    self.groups = groups
  }

  /// Whoever runs this process.
  package static var current: UserIdentity {
    var groups = [gid_t](repeating: 0, count: Int(max(0, getgroups(0, nil))))
    let count = groups.isEmpty ? 0 : Int(max(0, getgroups(CInt(groups.count), &groups)))
    let name = geteuid() == 0 ? "root" : "the user \(geteuid())"
    return UserIdentity(
      name: name, identifier: geteuid(),
      groups: Set(groups[..<count].map { UInt32($0) } + [UInt32(getegid())]))
  }

  /// A user of `/etc/passwd`, with its groups of `/etc/group`; `nil` if there is none of that name.
  package init?(named name: String, on kernel: any Kernel) {
    func rows(_ path: String) -> [[Substring]] {
      let text = (try? kernel.text(of: path)) ?? ""
      return text.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }
    guard let row = rows("/etc/passwd").first(where: { $0.count > 3 && $0[0] == name }),
      let identifier = UInt32(row[2]), let group = UInt32(row[3])
    else { return nil }
    let others = rows("/etc/group").filter { row in
      row.count > 3 && row[3].split(separator: ",").contains { $0 == name }
    }
    self.init(
      name: name, identifier: identifier, groups: Set(others.compactMap { UInt32($0[2]) } + [group]))
  }

  package enum Access: UInt32 {
    case write = 2
    case readAndWrite = 6
  }

  func may(_ access: Access, _ file: FileStatus) -> Bool {
    if identifier == 0 { return true }
    let shift: UInt32 = file.owner == identifier ? 6 : groups.contains(file.group) ? 3 : 0
    return file.permissions >> shift & access.rawValue == access.rawValue
  }
}
