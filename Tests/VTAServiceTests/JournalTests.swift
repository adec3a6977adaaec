import CVTALinux
import Foundation
import Logging
import Testing

@testable import VTAService

/// Entries as systemd's journal takes them (https://systemd.io/JOURNAL_NATIVE_PROTOCOL), read by a socket in its place.
@Suite struct JournalTests {
  private func entry(
    through journal: Journal, _ body: (Logger) -> Void
  ) throws -> [String: [UInt8]] {
    let log = try #require(JournalLog(level: LogLevel(.trace), socket: journal.path))
    body(Logger(label: "test") { _ in log })
    return try journal.next()
  }

  private func text(_ bytes: [UInt8]?) -> String? { bytes.map { String(decoding: $0, as: UTF8.self) } }

  @Test func fields() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal(path: folder.path("j"))
    let caller = Caller(user: .uid(1000), role: .infer, pid: 77, connection: ConnectionID(rawValue: 1))
    let fields = try entry(through: journal) { logger in
      logger.warning(
        "not serving: broken",
        metadata: ["model": "digits", "odd key": "a\nb", "caller": .stringConvertible(caller)])
    }
    #expect(text(fields["PRIORITY"]) == "4")
    #expect(text(fields["SYSLOG_IDENTIFIER"]) == "vtad")
    #expect(text(fields["VTA_MODEL"]) == "digits")
    #expect(text(fields["VTA_CLIENT_UID"]) == "1000")
    #expect(text(fields["VTA_CLIENT_PID"]) == "77")
    // A value with a line end has its length before it, and is whole; the sentence stays one line.
    #expect(text(fields["VTA_ODD_KEY"]) == "a\nb")
    #expect(text(fields["MESSAGE"]) == "not serving: broken caller=uid 1000, pid 77 model=digits odd key=a b")
    #expect(fields["CODE_FILE"]?.isEmpty == false && fields["CODE_LINE"] != nil && fields["CODE_FUNC"] != nil)
    let identifier = JournalLog.messageIDs.first { $0.0 == "not serving" }?.1
    #expect(text(fields["MESSAGE_ID"]) == identifier)
  }

  @Test func callersOfOtherKinds() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal(path: folder.path("j"))
    let caller = Caller(user: .certificate("alice"), role: .infer, connection: ConnectionID(rawValue: 1))
    let fields = try entry(through: journal) {
      $0.info("load", metadata: ["caller": .stringConvertible(caller)])
    }
    #expect(text(fields["VTA_CLIENT_CERTIFICATE"]) == "alice" && fields["VTA_CLIENT_PID"] == nil)
  }

  /// More than a datagram holds comes in a sealed file.
  @Test func largeEntries() throws {
    let folder = try TemporaryFolder()
    let journal = try Journal(path: folder.path("j"))
    let long = String(repeating: "x", count: 8 << 20)
    let fields = try entry(through: journal) { $0.error("long", metadata: ["model": "\(long)"]) }
    #expect(fields["VTA_MODEL"]?.count == 8 << 20)
    #expect(text(fields["PRIORITY"]) == "3" && journal.filesSeen == 1)
  }

  /// One identifier per event, and none twice.
  @Test func identifiers() {
    let identifiers = JournalLog.messageIDs.map(\.1)
    #expect(Set(identifiers).count == identifiers.count)
    #expect(identifiers.allSatisfy { $0.count == 32 && $0.allSatisfy(\.isHexDigit) })
    #expect(
      JournalLog.messageID(of: "device out of service after 3 failures: x")
        != JournalLog.messageID(of: "device sim"))
    #expect(JournalLog.messageID(of: "something else") == nil)
  }

  @Test func knowsItsStream() throws {
    var status = stat()
    let file = try #require(FileHandle(forReadingAtPath: "/dev/null"))
    try #require(fstat(file.fileDescriptor, &status) == 0)
    #expect(
      JournalLog.isStream("\(status.st_dev):\(status.st_ino)", descriptor: file.fileDescriptor))
    #expect(!JournalLog.isStream("\(status.st_dev):\(status.st_ino + 1)", descriptor: file.fileDescriptor))
    #expect(!JournalLog.isStream("rubbish", descriptor: file.fileDescriptor))
    #expect(JournalLog(level: LogLevel(.info), socket: "/nowhere/socket") == nil)
  }
}

/// Reads what a journal would.
private final class Journal {
  let path: String
  private(set) var filesSeen = 0
  private let descriptor: Int32

  init(path: String) throws {
    self.path = path
    descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let status = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard status == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
  }

  deinit { close(descriptor) }

  /// Fields of the next entry, by name.
  func next() throws -> [String: [UInt8]] {
    var data = [UInt8](repeating: 0, count: 1 << 20)
    // A header of 16 bytes and a descriptor (cmsg(3)).
    var control = [UInt8](repeating: 0, count: 64)
    let (count, controlCount) = data.withUnsafeMutableBytes { data in
      control.withUnsafeMutableBytes { control in
        var vector = iovec(iov_base: data.baseAddress, iov_len: data.count)
        return withUnsafeMutablePointer(to: &vector) { vector in
          var message = msghdr()
          message.msg_iov = vector
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          let count = recvmsg(descriptor, &message, 0)
          return (count, message.msg_controllen)
        }
      }
    }
    try #require(count >= 0)
    guard count == 0, controlCount >= 20 else { return try fields(data[..<count]) }
    filesSeen += 1
    let file = control.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: 16, as: Int32.self) }
    // Nobody can change it any more.
    let seals = fcntl(file, 1034)  // F_GET_SEALS
    #expect(seals == 15)
    let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
    try handle.seek(toOffset: 0)
    return try fields([UInt8](try #require(try handle.readToEnd()))[...])
  }

  private func fields(_ bytes: ArraySlice<UInt8>) throws -> [String: [UInt8]] {
    var fields: [String: [UInt8]] = [:]
    var rest = bytes
    while !rest.isEmpty {
      let end = try #require(rest.firstIndex { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: "\n") })
      let name = String(decoding: rest[..<end], as: UTF8.self)
      let value: ArraySlice<UInt8>
      if rest[end] == UInt8(ascii: "=") {
        let stop = try #require(rest[end...].firstIndex(of: UInt8(ascii: "\n")))
        value = rest[(end + 1)..<stop]
      } else {
        let length = rest[(end + 1)..<(end + 9)].reversed().reduce(0) { $0 << 8 | Int($1) }
        value = rest[(end + 9)..<(end + 9 + length)]
      }
      fields[name] = Array(value)
      try #require(rest[value.endIndex] == UInt8(ascii: "\n"))
      rest = rest[(value.endIndex + 1)...]
    }
    return fields
  }
}
