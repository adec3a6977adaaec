/// What one check of a board's set-up saw.
package struct Finding: Hashable, Sendable {
  package enum Severity: String, Hashable, Sendable, CaseIterable {
    case ok
    /// Worth knowing; nothing to do.
    case note
    /// It works, but not as well or as long as it could.
    case warning
    /// It can't work like this.
    case failure
    /// Not looked at, and why.
    case skipped
  }

  /// `fpga-manager`
  package let check: String
  package let severity: Severity
  package let found: String
  /// What to do; for warnings and failures.
  package let fix: String?

  package init(_ check: String, _ severity: Severity, _ found: String, fix: String? = nil) {
    self.check = check
    self.severity = severity
    self.found = found
    self.fix = fix
  }
}

/// Findings that belong together.
package struct FindingSection: Hashable, Sendable {
  package let title: String
  package let findings: [Finding]

  package init(_ title: String, _ findings: [Finding]) {
    self.title = title
    self.findings = findings
  }
}
