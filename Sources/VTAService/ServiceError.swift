/// Why the service refused or failed. `description` is a full sentence for the person who asked.
package struct ServiceError: Error, Hashable, Sendable, CustomStringConvertible {
  package enum Kind: Hashable, Sendable, CaseIterable {
    /// The request contradicts itself, the model or the protocol.
    case invalidArgument
    case notFound
    case alreadyExists
    /// The caller's role or files don't allow it.
    case permissionDenied
    /// The request is right, but not in the state that things are in.
    case failedPrecondition
    /// A limit of the daemon or the memory of the device.
    case resourceExhausted
    case unavailable
    case deadlineExceeded
    case cancelled
    /// Part of the protocol, but not of this program.
    case unimplemented
    /// A defect of this program or of the device.
    case `internal`
  }

  package let kind: Kind
  package let description: String

  package init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}
