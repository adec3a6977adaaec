internal import Glibc
package import Logging

/// One line per event on standard error: `vtad: LEVEL: message key=value …`.
package struct StandardErrorLog: LogHandler {
  package var metadata: Logger.Metadata = [:]
  private let level: LogLevel

  /// Setting it changes the level of the whole daemon.
  package var logLevel: Logger.Level {
    get { level.value }
    set { level.value = newValue }
  }

  package init(level: LogLevel) { self.level = level }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    let text = LogText.line(event, metadata.merging(event.metadata ?? [:]) { $1 })
    let line = Array("vtad: \(event.level): \(text)\n".utf8)
    // One call, so that lines of several threads stay whole. A log that can't be written must not end the daemon.
    _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}

/// An event as a person reads it.
enum LogText {
  static func line(_ event: LogEvent, _ metadata: Logger.Metadata) -> String {
    let fields = metadata.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    return oneLine(([event.message.description] + fields).joined(separator: " "))
  }

  /// Names of models are text of clients and file systems; they must not look like another event.
  private static func oneLine(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
  }
}
