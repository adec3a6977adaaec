internal import ArgumentParser
internal import VTA

/// What `vtactl verify` and `vtactl trace verify` print of one file.
struct VerificationReport: Encodable {
  struct Finding: Encodable {
    /// Of a module; a recorded run has one program.
    let program: Int?
    /// `nil`: about the program as a whole.
    let instruction: Int?
    let disassembly: String?
    let message: String

    init(program: Int?, _ finding: ProgramVerifier.Finding) {
      self.program = program
      instruction = finding.instruction
      disassembly = finding.instruction.map { _ in finding.disassembly }
      message = finding.message
    }
  }

  let file: String
  let findings: [Finding]
  /// Public keys of those who signed a module; a recorded run has none.
  var signers: [String]?

  /// - Parameter json: printed instead of text.
  /// - Throws: exit code 1 if any file has findings.
  static func print(_ reports: [VerificationReport], json: (some Encodable)?) throws {
    if let json {
      try JSONOutput.print(json)
    } else {
      for report in reports {
        if report.findings.isEmpty { Swift.print("\(report.file): ok") }
        for finding in report.findings { Swift.print("\(report.file): \(finding.line)") }
        for signer in report.signers ?? [] { Swift.print("\(report.file): signed by \(signer)") }
      }
    }
    if reports.contains(where: { !$0.findings.isEmpty }) { throw ExitCode.failure }
  }
}

extension VerificationReport.Finding {
  var line: String {
    var places: [String] = []
    if let program { places.append("program \(program)") }
    if let instruction, let disassembly { places.append("instruction \(instruction) (\(disassembly))") }
    return (places + [message]).joined(separator: ": ")
  }
}
