import Foundation
import Testing

@testable import VTACompiler

@Suite struct SupportedOperatorsTests {
  /// `UPDATE=1 swift test --filter SupportedOperatorsTests` writes the page anew.
  @Test func documentationIsWhatTheTableSays() throws {
    let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Documentation/SupportedOperators.md")
    let text = SupportedOperators.markdown()
    if ProcessInfo.processInfo.environment["UPDATE"] != nil {
      try Data(text.utf8).write(to: page)
    }
    #expect(try String(contentsOf: page, encoding: .utf8) == text)
  }
}
