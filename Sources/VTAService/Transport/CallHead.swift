internal import GRPCCore
internal import NIOHPACK

/// What the first header block of a request says, as far as it matters to gRPC (PROTOCOL-HTTP2.md of gRPC).
struct CallHead {
  let path: String
  let timeout: GRPCTimeout?
  /// Of those messages that say that they are compressed.
  let compression: MessageCompression

  /// Why a call is refused before it has begun: with a status, or with HTTP's if it isn't gRPC at all.
  enum Refusal: Error {
    case status(ServiceError)
    case unknownCompression(String)
    case unsupportedMediaType
  }

  init(_ headers: HPACKHeaders) throws(Refusal) {
    var (path, method, contentType, encoding, timeout): (String?, String?, String?, String?, String?)
    for (name, value, _) in headers {
      switch name {
      case ":path": path = path ?? value
      case ":method": method = method ?? value
      case "content-type": contentType = contentType ?? value
      case "grpc-encoding": encoding = encoding ?? value
      case GRPCTimeout.headerName: timeout = timeout ?? value
      default: break
      }
    }
    guard let contentType, Self.isGRPC(contentType) else { throw .unsupportedMediaType }
    guard method == "POST", let path else {
      throw .status(ServiceError(.invalidArgument, "a call is a POST request with a path"))
    }
    guard let compression = encoding.map(MessageCompression.init(rawValue:)) ?? .identity else {
      throw .unknownCompression(encoding ?? "")
    }
    self.compression = compression
    self.path = path
    do {
      self.timeout = try timeout.map { text throws(ServiceError) in try GRPCTimeout(text) }
    } catch {
      throw .status(error)
    }
  }

  private static func isGRPC(_ contentType: String) -> Bool {
    contentType == "application/grpc" || contentType == "application/grpc+proto"
      || contentType.hasPrefix("application/grpc;")
  }
}
