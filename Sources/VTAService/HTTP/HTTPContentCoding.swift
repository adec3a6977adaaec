internal import Foundation
internal import HTTPTypes
internal import NIOCore
internal import NIOPosix

/// The coding in which a client wants its answer, from `Accept-Encoding` (RFC 9110, section 12.5.3).
struct AcceptedCoding: Equatable, Sendable {
  /// The one it likes best.
  let best: MessageCompression
  /// Whether it would also take the answer as it is.
  let takesIdentity: Bool

  /// - Parameter field: All lines of it; `nil` if there is none, which accepts the answer as it is.
  /// - Throws: ``HTTPRefusal`` if the client would take none of ours.
  init(_ field: String?) throws(HTTPRefusal) {
    var weights: [String: Double] = [:]
    for element in (field ?? "").split(separator: ",") {
      let parts = element.split(separator: ";", omittingEmptySubsequences: false).map {
        $0.trimmingCharacters(in: .whitespaces).lowercased()
      }
      // What is not written as it should be says nothing.
      guard let weight = Self.weight(parts.dropFirst()), let name = parts.first, !name.isEmpty else {
        continue
      }
      weights[Self.withoutPrefix(name)] = weight
    }
    let weight = { (coding: MessageCompression) in
      // Unless refused, an answer as it is will do when nothing better is there.
      weights[coding.rawValue] ?? weights["*"] ?? (coding == .identity ? .leastNonzeroMagnitude : 0)
    }
    let candidates: [MessageCompression] = [.gzip, .deflate, .identity]
    var best = MessageCompression.gzip
    for candidate in candidates where weight(candidate) > weight(best) { best = candidate }
    guard weight(best) > 0 else {
      throw HTTPRefusal(
        .notAcceptable,
        "answers are sent as gzip, deflate or identity, and Accept-Encoding takes none of these")
    }
    self.best = best
    takesIdentity = weight(.identity) > 0
  }

  /// From the parameters of an element; 1 without any, `nil` if it is not a number up to 1.
  private static func weight(_ parameters: ArraySlice<String>) -> Double? {
    guard let parameter = parameters.first(where: { $0.hasPrefix("q=") }) else { return 1 }
    guard let weight = Double(parameter.dropFirst(2)), (0...1).contains(weight) else { return nil }
    return weight
  }

  /// "x-gzip" is an old name.
  static func withoutPrefix(_ name: String) -> String { name == "x-gzip" ? "gzip" : name }
}

extension MessageCompression {
  /// - Parameter field: `Content-Encoding` of a request (RFC 9110, section 8.4), `nil` if it has none.
  /// - Throws: ``HTTPRefusal`` if the coding is not known, or if there are several.
  init(contentEncoding field: String?) throws(HTTPRefusal) {
    let codings = (field ?? "").split(separator: ",").map {
      AcceptedCoding.withoutPrefix($0.trimmingCharacters(in: .whitespaces).lowercased())
    }.filter { !$0.isEmpty && $0 != Self.identity.rawValue }
    guard let name = codings.first else {
      self = .identity
      return
    }
    guard codings.count == 1, let coding = Self(rawValue: name) else {
      throw HTTPRefusal(
        .unsupportedMediaType,
        "the Content-Encoding '\(codings.joined(separator: ", ").prefix(100))' is not understood; "
          + "send the body as gzip, deflate or identity")
    }
    self = coding
  }

  /// Does what takes long on threads that nobody waits for but those who have asked for such work.
  static func aside<Value: Sendable>(
    isLong: Bool, _ work: @escaping @Sendable () throws -> Value
  ) async throws -> Value {
    isLong ? try await NIOThreadPool.singleton.runIfActive(work) : try work()
  }
}
