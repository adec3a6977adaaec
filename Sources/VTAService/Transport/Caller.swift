internal import GRPCCore

/// Who makes a call, as the connection that it came through tells: the kernel's word for the process at the other end of
/// a Unix socket, the certificate of a TLS connection, or nobody in particular on the loopback interface.
package struct Caller: Hashable, Sendable, CustomStringConvertible {
  /// Whose quota, shared memory and share of the devices a call counts against.
  package enum User: Hashable, Sendable, CustomStringConvertible {
    case uid(UInt32)
    /// The common name of a certificate that was verified.
    case certificate(String)
    /// Any process of this machine, through the open loopback address.
    case loopback

    package var description: String {
      switch self {
      case .uid(let uid): "uid \(uid)"
      case .certificate(let name): "certificate \(name)"
      case .loopback: "loopback"
      }
    }
  }

  package let user: User
  package let role: Role
  /// 0 if it is unknown: no Unix socket, or the process is not visible in the daemon's process namespace.
  package let pid: Int32
  package let connection: ConnectionID

  package init(user: User, role: Role, pid: Int32 = 0, connection: ConnectionID) {
    self.user = user
    self.role = role
    self.pid = pid
    self.connection = connection
  }

  package var description: String { pid == 0 ? "\(user)" : "\(user), pid \(pid)" }
}

/// One accepted connection; never used twice.
package struct ConnectionID: Hashable, Sendable {
  package let rawValue: UInt64
}

/// How a caller travels from the connection to the handler of a call: in a request header that only the transport can
/// write, because it removes whatever the client sent under that name.
extension Caller {
  /// `KIND:USER,ROLE,PID,CONNECTION`
  static let headerName = "vta-peer"

  var headerValue: String { "\(user.headerValue),\(role.rawValue),\(pid),\(connection.rawValue)" }

  init?(headerValue: String) {
    let fields = headerValue.split(separator: ",", omittingEmptySubsequences: false)
    guard fields.count == 4, let user = User(headerValue: fields[0]),
      let role = Role(rawValue: String(fields[1])),
      let pid = Int32(fields[2]), let connection = UInt64(fields[3])
    else { return nil }
    self.init(user: user, role: role, pid: pid, connection: ConnectionID(rawValue: connection))
  }

  /// - Throws: If there is no stamp: the call did not come through the daemon's transport.
  init(_ metadata: Metadata) throws(ServiceError) {
    var values = metadata[stringValues: Self.headerName].makeIterator()
    let value = values.next()
    try self.init(stamps: value == nil || values.next() != nil ? [] : [value ?? ""])
  }

  /// - Throws: Unless there is exactly one stamp.
  init(stamps: [String]) throws(ServiceError) {
    guard stamps.count == 1, let caller = Caller(headerValue: stamps[0]) else {
      throw ServiceError(.internal, "the transport did not say who makes this call")
    }
    self = caller
  }

  /// - Throws: Unless the caller has at least this role.
  package func require(_ role: Role, to action: @autoclosure () -> String) throws(ServiceError) {
    guard self.role < role else { return }
    throw ServiceError(.permissionDenied, "\(user) may not \(action()); \(role.remedy)")
  }
}

extension Caller.User {
  fileprivate var headerValue: String {
    switch self {
    case .uid(let uid): "uid:\(uid)"
    case .certificate(let name): "certificate:\(Array(name.utf8).map { $0.hex }.joined())"
    case .loopback: "loopback:"
    }
  }

  fileprivate init?(headerValue: Substring) {
    let parts = headerValue.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    switch parts[0] {
    case "uid":
      guard let uid = UInt32(parts[1]) else { return nil }
      self = .uid(uid)
    case "certificate":
      guard let bytes = [UInt8](hex: parts[1]) else { return nil }
      self = .certificate(String(decoding: bytes, as: UTF8.self))
    case "loopback" where parts[1].isEmpty: self = .loopback
    default: return nil
    }
  }
}

extension UInt8 {
  /// Two digits.
  package var hex: String {
    let text = String(self, radix: 16)
    return text.count == 1 ? "0" + text : text
  }
}

extension [UInt8] {
  /// `nil` unless the text is an even number of hexadecimal digits.
  package init?(hex: some StringProtocol) {
    let digits = hex.utf8.map { digit -> UInt8? in
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
      default: nil
      }
    }
    let known = digits.compactMap(\.self)
    guard known.count == digits.count, digits.count.isMultiple(of: 2) else { return nil }
    self = stride(from: 0, to: known.count, by: 2).map { known[$0] << 4 | known[$0 + 1] }
  }
}
