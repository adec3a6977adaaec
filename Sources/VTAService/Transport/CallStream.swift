internal import GRPCCore
internal import NIOCore
internal import NIOHPACK
internal import NIOHTTP2

/// The daemon's side of the HTTP/2 stream of one call: gRPC's headers, messages and status, as PROTOCOL-HTTP2.md of gRPC has
/// them. Belongs to its connection's event loop.
struct CallStream {
  let id: HTTP2StreamID
  let connection: CallConnection

  func sendHeaders() {
    connection.write(.headers(.init(headers: Self.headers)), on: id)
  }

  /// - Parameter promise: Fulfilled when the message has gone to the kernel: later than at once for a client that reads slowly.
  func send(_ framed: ByteBuffer, _ promise: EventLoopPromise<Void>? = nil) {
    connection.write(.data(.init(data: .byteBuffer(framed))), on: id, promise)
  }

  /// Ends the stream, as the following do.
  /// - Parameter hasMoreToCome: The client is still sending; it is told to stop.
  func succeed(hasMoreToCome: Bool = false) {
    end(Self.success, hasMoreToCome: hasMoreToCome)
  }

  func fail(_ error: ServiceError, afterHeaders: Bool = false, hasMoreToCome: Bool) {
    fail(
      code: error.rpcErrorCode.rawValue, error.description, afterHeaders: afterHeaders,
      hasMoreToCome: hasMoreToCome)
  }

  /// - Parameter code: Of gRPC's statuscodes.md; none that means success.
  func fail(code: Int, _ sentence: String, afterHeaders: Bool, hasMoreToCome: Bool) {
    end(trailers(code, sentence, afterHeaders: afterHeaders), hasMoreToCome: hasMoreToCome)
  }

  /// Says which compressions there are.
  func refuseCompression(_ name: String, hasMoreToCome: Bool) {
    let known = MessageCompression.allCases.map(\.rawValue)
    let error = ServiceError(
      .unimplemented,
      "messages in the encoding '\(name.prefix(20))' are not understood; these are: \(known.joined(separator: ", "))"
    )
    var trailers = trailers(error.rpcErrorCode.rawValue, error.description, afterHeaders: false)
    trailers.add(name: "grpc-accept-encoding", value: known.joined(separator: ","))
    end(trailers, hasMoreToCome: hasMoreToCome)
  }

  /// Says that this is no gRPC.
  func refuseMediaType(hasMoreToCome: Bool) {
    end([":status": "415"], hasMoreToCome: hasMoreToCome)
  }

  private func trailers(_ code: Int, _ sentence: String, afterHeaders: Bool) -> HPACKHeaders {
    var trailers = afterHeaders ? [:] : Self.headers
    trailers.add(name: "grpc-status", value: "\(code)")
    trailers.add(name: "grpc-message", value: sentence.percentEncodedForGRPC)
    return trailers
  }

  private func end(_ trailers: HPACKHeaders, hasMoreToCome: Bool) {
    connection.write(.headers(.init(headers: trailers, endStream: true)), on: id)
    if hasMoreToCome { connection.write(.rstStream(.noError), on: id) }
    connection.flush()
  }

  private static let headers: HPACKHeaders = [":status": "200", "content-type": "application/grpc"]
  private static let success: HPACKHeaders = ["grpc-status": "0"]
}

extension ServiceError {
  static let deadlinePassed = ServiceError(.deadlineExceeded, "the call's deadline has passed")

  static let incomplete = ServiceError(.internal, "the message ends before the length in its prefix")

  /// - Parameter length: In bytes; `nil`: it is not known, but too much.
  static func tooLong(_ length: Int?, limit: Int) -> ServiceError {
    ServiceError(
      .resourceExhausted,
      "the message has \(length.map(String.init) ?? "more") bytes; the daemon takes at most \(limit) "
        + "(the key max_message_bytes)")
  }
}
