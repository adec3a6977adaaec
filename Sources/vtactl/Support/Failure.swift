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
}
