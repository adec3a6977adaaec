internal import Glibc
package import Logging

/// One line per event on standard error: `vtad: LEVEL: message key=value …`. For the journal, the priority that
/// systemd reads (sd-daemon(3)) comes first.
package struct StandardErrorLog: LogHandler {
  package var metadata: Logger.Metadata = [:]
  private let level: LogLevel
  private let isJournal: Bool

  /// Setting it changes the level of the whole daemon.
  package var logLevel: Logger.Level {
    get { level.value }
    set { level.value = newValue }
  }

  package init(level: LogLevel) {
    self.level = level
    isJournal = getenv("JOURNAL_STREAM") != nil
  }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let fields = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
    let text = ([event.message.description] + fields.map { "\($0.key)=\($0.value)" }).joined(separator: " ")
    let prefix = isJournal ? "<\(Self.priority(of: event.level))>" : "vtad: \(event.level): "
    let line = Array("\(prefix)\(Self.oneLine(text))\n".utf8)
    // One call, so that lines of several threads stay whole. A log that can't be written must not end the daemon.
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// Names of models are text of clients and file systems; they must not look like another event.
  private static func oneLine(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
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
