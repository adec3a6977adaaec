internal import VTARuntime

/// What `vtactl doctor` prints. A section more is one more in ``sections``.
struct DoctorReport: Encodable {
  struct Section: Encodable {
    struct Row: Encodable {
      let check: String
      let severity: String
      let found: String
      let fix: String?
    }

    let title: String
    let findings: [Row]

    init(_ section: FindingSection) {
      title = section.title
      findings = section.findings.map {
        Row(check: $0.check, severity: $0.severity.rawValue, found: $0.found, fix: $0.fix)
      }
    }
  }

  /// `nil`: none is there, or none that is known.
  let board: String?
  /// Nothing keeps the accelerator, or else the simulator, from working.
  let working: Bool
  let failures: Int
  let warnings: Int
  let sections: [Section]

  init(_ report: Doctor.Report) {
    board = report.board?.name
    working = report.isWorking
    failures = report.count(.failure)
    warnings = report.count(.warning)
    sections = report.sections.map(Section.init)
  }

  func printText() {
    for section in sections where !section.findings.isEmpty {
      print(section.title)
      for row in section.findings {
        let severity = row.severity + String(repeating: " ", count: max(0, 8 - row.severity.count))
        print("  \(severity) \(row.check): \(row.found)")
        if let fix = row.fix { print("           fix: \(fix)") }
      }
    }
    switch (failures, warnings) {
    case (0, 0): print("nothing is wrong")
    case (0, _): print("it works; \(warnings) warning\(warnings == 1 ? "" : "s")")
    default:
      print("\(failures) failure\(failures == 1 ? "" : "s"), \(warnings) warning\(warnings == 1 ? "" : "s")")
    }
  }
}
