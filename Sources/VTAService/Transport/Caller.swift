internal import GRPCCore

/// Who makes a call: the credentials of the process at the other end of the connection, as the kernel reports them.
package struct Caller: Hashable, Sendable, CustomStringConvertible {
  package let uid: UInt32
  package let gid: UInt32
  /// 0 if the process is not visible in the daemon's process namespace.
  package let pid: Int32
  package let connection: ConnectionID

  package var description: String { "uid \(uid), pid \(pid)" }
}

/// One accepted connection; never used twice.
package struct ConnectionID: Hashable, Sendable {
  package let rawValue: UInt64
}

/// How a caller travels from the connection to the handler of a call: in a request header that only
/// ``PeerStampHandler`` can write, because it removes whatever the client sent under that name.
extension Caller {
  /// `uid,gid,pid,connection`
  static let headerName = "vta-peer"

  var headerValue: String { "\(uid),\(gid),\(pid),\(connection.rawValue)" }

  init?(headerValue: String) {
    let fields = headerValue.split(separator: ",", omittingEmptySubsequences: false)
    guard fields.count == 4, let uid = UInt32(fields[0]), let gid = UInt32(fields[1]),
      let pid = Int32(fields[2]), let connection = UInt64(fields[3])
    else { return nil }
    self.init(uid: uid, gid: gid, pid: pid, connection: ConnectionID(rawValue: connection))
  }

  /// - Throws: If there is no stamp: the call did not come through the daemon's transport.
  init(_ metadata: Metadata) throws(ServiceError) {
    var values = metadata[stringValues: Self.headerName].makeIterator()
    guard let value = values.next(), values.next() == nil, let caller = Caller(headerValue: value) else {
      throw ServiceError(.internal, "the transport did not say who makes this call")
    }
    self = caller
  }
}
