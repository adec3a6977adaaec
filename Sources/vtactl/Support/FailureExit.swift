internal import ArgumentParser
private import Foundation

extension Failure {
  /// Prints the error, or the help text that argument-parser throws, and ends the program.
  static func exit(_ error: any Error) -> Never {
    if let failure = error as? Failure {
      report(failure.description)
      Foundation.exit(failure.kind.rawValue)
    }
    let code = Vtactl.exitCode(for: error)
    if code.isSuccess {
      print(Vtactl.fullMessage(for: error))
      Foundation.exit(0)
    }
    if let code = error as? ExitCode { Foundation.exit(code.rawValue) }
    let isUsage = code == ExitCode.validationFailure
    let message = Vtactl.message(for: error)
    report(isUsage ? "\(message.trimmingCharacters(in: ["."])); see vtactl --help" : message)
    Foundation.exit(isUsage ? Kind.usage.rawValue : Kind.work.rawValue)
  }

  /// One line whatever the text holds.
  private static func report(_ text: String) {
    let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
    FileHandle.standardError.write(Data("vtactl: \(line)\n".utf8))
  }
}
