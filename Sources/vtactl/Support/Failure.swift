internal import ArgumentParser
private import Foundation

/// What ends a command: printed as `vtactl: what: why; what to do` on standard error.
struct Failure: Error, CustomStringConvertible {
  enum Kind: Int32 {
    /// The work failed.
    case work = 1
    /// The command line asked for something that doesn't exist.
    case usage = 2
  }

  let kind: Kind
  let description: String

  /// - Parameters:
  ///   - what: what the sentence is about, a file for instance.
  ///   - why: what is wrong and what to do.
  init(_ what: String, _ why: any Error) { self.init(what, "\(why)") }

  init(_ what: String, _ why: String) {
    kind = .work
    description = "\(what): \(why)"
  }

  /// Wrong usage: an unknown name or a combination that makes no sense.
  static func usage(_ what: String, _ why: String) -> Failure {
    Failure(kind: .usage, description: "\(what): \(why)")
  }

  private init(kind: Kind, description: String) {
    self.kind = kind
    self.description = description
  }

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
