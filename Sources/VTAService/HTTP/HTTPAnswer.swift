internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import NIOFoundationCompat

/// What is answered, before it is known in which coding.
struct HTTPAnswer: Sendable {
  /// Below which an answer is sent as it is: it fits a packet anyway.
  static let smallBytes = 1024
  /// Compressing more takes longer than others should wait for.
  private static let longBytes = 1 << 16

  let status: HTTPResponse.Status
  private var headers: HTTPFields
  private let body: ByteBuffer

  init(_ status: HTTPResponse.Status = .ok, headers: HTTPFields = [:], body: ByteBuffer = ByteBuffer()) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  init(json value: Any) {
    self.init(
      headers: [.contentType: "application/json", .cacheControl: "no-store"],
      body: ByteBuffer(data: JSONText.encode(value)))
  }

  init(text: String, type: String) {
    self.init(headers: [.contentType: type, .cacheControl: "no-store"], body: ByteBuffer(string: text))
  }

  init(_ inference: HTTPInferenceResponse) {
    var body = ByteBuffer(data: inference.json)
    var headers: HTTPFields = [.contentType: "application/json"]
    if inference.hasBinary {
      headers[.contentType] = "application/octet-stream"
      headers[HTTPHeader.jsonLength] = "\(inference.json.count)"
      body.writeData(inference.tail)
    }
    self.init(headers: headers, body: body)
  }

  /// The answer as a client gets it that accepts these codings.
  consuming func response(in accepted: AcceptedCoding) async -> Response {
    guard body.readableBytes > 0 else { return plainResponse }
    headers[.vary] = "Accept-Encoding"
    let (coding, body) = (accepted.best, body)
    guard coding != .identity, !accepted.takesIdentity || body.readableBytes >= Self.smallBytes else {
      return plainResponse
    }
    let compressed = try? await MessageCompression.aside(isLong: body.readableBytes > Self.longBytes) {
      try coding.compressed(body)
    }
    // What can't be compressed is better sent as it is than not at all.
    guard let compressed, !accepted.takesIdentity || compressed.readableBytes < body.readableBytes else {
      return plainResponse
    }
    headers[.contentEncoding] = coding.rawValue
    return Response(status: status, headers: headers, body: .init(byteBuffer: compressed))
  }

  private var plainResponse: Response {
    Response(status: status, headers: headers, body: .init(byteBuffer: body))
  }

  /// Always as it is: Triton's clients don't decompress refusals.
  static func refusal(_ error: HTTPRefusal) -> Response {
    var headers: HTTPFields = [.contentType: "application/json"]
    if error.status == .unsupportedMediaType { headers[.acceptEncoding] = "gzip, deflate, identity" }
    return HTTPAnswer(
      error.status, headers: headers, body: ByteBuffer(data: JSONText.encode(["error": error.sentence]))
    ).plainResponse
  }
}

/// A refusal as HTTP knows it.
struct HTTPRefusal: Error, Equatable {
  let status: HTTPResponse.Status
  let sentence: String

  init(_ status: HTTPResponse.Status, _ sentence: String) {
    self.status = status
    self.sentence = sentence
  }
}
