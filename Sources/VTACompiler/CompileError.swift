/// Why a model could not be compiled: one sentence for the user, in the order of `vtactl`'s error lines.
package struct CompileError: Error, Equatable, CustomStringConvertible {
  /// What failed, e.g. `Conv "stem"`.
  package let subject: String
  /// What was found and what was expected.
  package let reason: String
  /// What the user can do about it.
  package let remedy: String?

  package init(_ subject: String, _ reason: String, remedy: String? = nil) {
    self.subject = subject
    self.reason = reason
    self.remedy = remedy
  }

  package var description: String {
    "\(subject): \(reason)" + (remedy.map { "; \($0)" } ?? "")
  }

  static let operatorList = "Documentation/SupportedOperators.md lists what is supported"
}

/// A name from a model as it may appear in a message: quoted, one line, not endless.
func quoted(_ name: String) -> String {
  let limit = 80
  var text = ""
  for scalar in name.unicodeScalars.prefix(limit) {
    text.unicodeScalars.append(scalar.properties.generalCategory == .control ? "?" : scalar)
  }
  return "\"\(text)\(name.unicodeScalars.count > limit ? "…" : "")\""
}
