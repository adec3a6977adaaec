internal import VTAModule

/// Whose modules may be loaded.
package struct SignaturePolicy: Hashable, Sendable {
  /// Public keys.
  let keys: Set<[UInt8]>
  /// Whether a module without a signature by one of them is refused.
  let isRequired: Bool

  /// - Throws: `permissionDenied` for a module that nobody vouches for.
  func check(_ bytes: [UInt8]) throws {
    guard isRequired else { return }
    let signers = try ModuleSignature.signers(of: bytes)
    guard signers.contains(where: keys.contains) else {
      let why =
        signers.isEmpty
        ? "has no valid signature"
        : "is signed by \(signers.map { $0.map(\.hex).joined() }.joined(separator: ", ")), who is not known here"
      throw ServiceError(
        .permissionDenied, "the module \(why); sign it with vtactl sign and a key of modules.keys")
    }
  }
}
