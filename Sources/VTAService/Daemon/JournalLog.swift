internal import CVTALinux
internal import Glibc
package import Logging

/// Events as entries of systemd's journal, with a field for each thing that is known (systemd.journal-fields(7)).
///
/// `VTA_MODEL`, `VTA_DEVICE` and so on are the event's metadata; a caller is `VTA_CLIENT_UID` or `VTA_CLIENT_CERTIFICATE`,
/// and `VTA_CLIENT_PID`. ``messageIDs`` tells events apart.
package struct JournalLog: LogHandler {
  package static let standardSocket = "/run/systemd/journal/socket"

  /// `MESSAGE_ID` by what a message begins with. They stay what they are: rules of operators name them.
  static let messageIDs = [
    ("serving", "2e47548b1aaf449bad1c9ae8615e31a2"),
    ("not serving", "fcc45bd725e347efa7612174814329e0"),
    ("submitted", "d613d38b114943a2b4251a1ec1446d04"),
    ("publish", "34dbc77bee3e4c94a0ca61d652c30d61"),
    ("load", "00b9d91513b54f989d316ed96493ffed"),
    ("unload", "af465bfa258b475390d03ef026a91397"),
    ("device", "efe2a189fb11444c94a652930a7df0f4"),
    ("device failed", "ed9c144c051249208e1af4e228c6c1b1"),
    ("device recovered", "2fdfa8d70c9c4179b66ff235829ccf97"),
    ("device out of service", "6e9c91272666470f941ddfe9773c2339"),
    ("answered by the simulator", "b4a71b33b8b048ff96b265b4fff84165"),
    ("drain", "145e173ae2694d918b4a7daf1332a310"),
    ("undrain", "9c5aaa027dde49429118367fb076c024"),
    ("program bitstream", "adfac35e971d47ca965d2852389ceb72"),
    ("trace", "dd0e263da12345a7b3588936edddee87"),
    ("stopping", "3b3ef51f662548d09fbb8a67aab85f78"),
  ]

  package var metadata: Logger.Metadata = [:]
  private let level: LogLevel
  private let socket: JournalSocket

  /// Setting it changes the level of the whole daemon.
  package var logLevel: Logger.Level {
    get { level.value }
    set { level.value = newValue }
  }

  /// `nil` if there is no journal to write to.
  package init?(level: LogLevel, socket path: String = standardSocket) {
    guard let socket = JournalSocket(path: path) else { return nil }
    self.level = level
    self.socket = socket
  }

  /// Whether standard error goes to the journal, so that whoever reads it there misses nothing if entries go there
  /// directly.
  package static var isStandardError: Bool {
    guard let stream = getenv("JOURNAL_STREAM") else { return false }
    return isStream(String(cString: stream), descriptor: STDERR_FILENO)
  }

  /// - Parameter stream: `DEVICE:INODE`, as systemd tells (systemd.exec(5)).
  static func isStream(_ stream: String, descriptor: CInt) -> Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && stream == "\(status.st_dev):\(status.st_ino)"
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let metadata = metadata.merging(event.metadata ?? [:]) { $1 }
    let text = LogText.line(event, metadata)
    var entry = JournalEntry()
    entry.add("MESSAGE", text)
    entry.add("PRIORITY", "\(Self.priority(of: event.level))")
    entry.add("SYSLOG_IDENTIFIER", "vtad")
    entry.add("CODE_FILE", event.file)
    entry.add("CODE_LINE", "\(event.line)")
    entry.add("CODE_FUNC", event.function)
    if let identifier = Self.messageID(of: event.message.description) { entry.add("MESSAGE_ID", identifier) }
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { Self.add(key, value, to: &entry) }
    guard !socket.send(entry.bytes) else { return }
    // The journal is away for a moment, or full: standard error keeps the line for it.
    let line = Array("<\(Self.priority(of: event.level))>\(text)\n".utf8)
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  private static func add(_ key: String, _ value: Logger.Metadata.Value, to entry: inout JournalEntry) {
    guard case .stringConvertible(let convertible) = value, let caller = convertible as? Caller else {
      return entry.add("VTA_" + JournalEntry.name(key), "\(value)")
    }
    switch caller.user {
    case .uid(let uid): entry.add("VTA_CLIENT_UID", "\(uid)")
    case .certificate(let name): entry.add("VTA_CLIENT_CERTIFICATE", name)
    case .loopback: entry.add("VTA_CLIENT", "loopback")
    }
    if caller.pid != 0 { entry.add("VTA_CLIENT_PID", "\(caller.pid)") }
  }

  /// Of the longest beginning that fits.
  static func messageID(of message: String) -> String? {
    messageIDs.filter { message.hasPrefix($0.0) }.max { $0.0.count < $1.0.count }?.1
  }

  private static func priority(of level: Logger.Level) -> Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }
}

/// Fields in the format of the journal's socket.
struct JournalEntry {
  private(set) var bytes: [UInt8] = []

  /// - Parameter name: Of capitals, digits and `_`, with a capital first.
  mutating func add(_ name: String, _ value: String) {
    bytes += name.utf8
    if value.utf8.contains(UInt8(ascii: "\n")) {
      bytes.append(UInt8(ascii: "\n"))
      withUnsafeBytes(of: UInt64(value.utf8.count).littleEndian) { bytes += $0 }
    } else {
      bytes.append(UInt8(ascii: "="))
    }
    bytes += value.utf8
    bytes.append(UInt8(ascii: "\n"))
  }

  /// A name that the journal takes, at most 64 bytes with a prefix of four.
  static func name(_ key: String) -> String {
    String(
      decoding: key.uppercased().utf8.prefix(60).map { byte in
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): byte
        default: UInt8(ascii: "_")
        }
      }, as: UTF8.self)
  }
}

/// Where the journal listens. It may be restarted meanwhile: each entry finds it by its path.
private final class JournalSocket: Sendable {
  private let descriptor: CInt
  private let path: String

  init?(path: String) {
    descriptor = vta_journal_open()
    self.path = path
    if descriptor < 0 || access(path, W_OK) != 0 { return nil }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Whether the journal has it.
  func send(_ entry: [UInt8]) -> Bool {
    entry.withUnsafeBytes { vta_journal_send(descriptor, path, $0.baseAddress, $0.count) == 0 }
  }
}
