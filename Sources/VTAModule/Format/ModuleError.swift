/// Why bytes are no module, or a module can't be: the place and what is wrong there.
package struct ModuleError: Error, Hashable, CustomStringConvertible {
  /// `header`, `section table entry 2`, `step 4` …
  package let place: String
  package let reason: String

  package init(_ place: String, _ reason: String) {
    self.place = place
    self.reason = reason
  }

  package var description: String { "\(place): \(reason)" }
}
