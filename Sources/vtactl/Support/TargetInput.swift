internal import VTA

/// `--target NAME|FILE.json`.
enum TargetInput {
  static func read(_ text: String) throws(Failure) -> Target {
    if let target = Target.named(text) { return target }
    guard text.hasSuffix(".json") else {
      let names = Target.named.map(\.name).joined(separator: ", ")
      throw .usage("--target \(text)", "is unknown; known: \(names), or a configuration file FILE.json")
    }
    do {
      return try Target(json: try FileInput.read(text))
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure(text, error)
    }
  }
}
