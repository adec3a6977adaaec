import Foundation
import Testing

@testable import VTACompiler

@Suite struct SupportedOperatorsTests {
  @Test func pageIsWhatTheTableSays() throws {
    let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Documentation/\(SupportedOperators.fileName)")
    let committed = try String(contentsOf: page, encoding: .utf8)
    #expect(
      committed == SupportedOperators.markdown(),
      "\(page.lastPathComponent) is not current: run make reference")
  }
}
