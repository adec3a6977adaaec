import Foundation
import Testing

@testable import VTA

/// Documentation/Reference is generated; `make reference` writes it anew.
@Suite struct ReferencePageTests {
  @Test func pagesAreCurrent() throws {
    // The tests may be reached through a symbolic link.
    let folder = URL(filePath: #filePath).resolvingSymlinksInPath().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Documentation/Reference")
    let pages = try ReferencePage.all()
    for page in pages {
      let committed = try? String(contentsOf: folder.appending(path: page.fileName), encoding: .utf8)
      #expect(committed == page.text, "\(page.fileName) is not current: run make reference")
    }
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    // The page of boards is VTARuntime's.
    #expect(files.filter { $0 != "Boards.md" } == pages.map(\.fileName).sorted())
  }

  /// A property that is added to profiles must be added to the page.
  @Test func everyPropertyOfProfilesHasARow() {
    let fields = Mirror(reflecting: HardwareProfile.fsim).children.compactMap(\.label).filter { $0 != "name" }
    #expect(ProfileProperty.all.map(\.field).sorted() == fields.sorted())
  }

  /// Two different values must not read alike.
  @Test func differentProfilesReadDifferently() {
    for property in ProfileProperty.all {
      var seen: [String: String] = [:]
      for profile in HardwareProfile.all {
        let value = Mirror(reflecting: profile).children.first { $0.label == property.field }
        // A set prints in no particular order.
        let text =
          (value?.value as? Set<MemoryType>)?.map(\.rawValue).sorted().description ?? "\(value?.value ?? "")"
        #expect(seen.updateValue(text, forKey: property.text(profile)) ?? text == text, "\(property.name)")
      }
    }
  }
}
