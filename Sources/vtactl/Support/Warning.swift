private import Foundation

/// What may go wrong, said before the work goes on: one line on standard error.
enum Warning {
  static func print(_ text: String) {
    FileHandle.standardError.write(Data("vtactl: warning: \(text)\n".utf8))
  }
}
