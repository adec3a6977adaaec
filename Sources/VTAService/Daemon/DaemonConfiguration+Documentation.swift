extension DaemonConfiguration {
  /// The keys as text for `vtad --help`.
  package static var help: String {
    keys.map { "  \($0.name) (\($0.default.json))\n      \($0.documentation)" }.joined(separator: "\n")
  }
}

extension DaemonConfiguration.Key.Default {
  /// As it is written in the file.
  package var json: String {
    switch self {
    case .text(let text): "\"\(text)\""
    case .number(let number): "\(number)"
    case .flag(let flag): "\(flag)"
    }
  }
}
