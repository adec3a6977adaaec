internal import GRPCCore
internal import NIOCore

/// How a call with one message each way is answered without gRPC Swift, which takes several times as long as a small model
/// runs.
struct UnaryCall: Sendable {
  let method: MethodDescriptor
  /// From the message of the request to the answer's, with its prefix as ``FramedMessage`` has it.
  let answer: @Sendable (Handover<ByteBuffer>, Caller) async throws -> ByteBuffer
}

extension MethodDescriptor {
  /// `/package.Service/Method`, as in an HTTP/2 request.
  var path: String { "/\(fullyQualifiedMethod)" }
}
