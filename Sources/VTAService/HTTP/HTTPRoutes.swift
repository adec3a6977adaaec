internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import NIOCore
internal import NIOFoundationCompat
internal import SwiftProtobuf

/// The Open Inference Protocol over HTTP, the metrics and the status page.
struct HTTPRoutes: Sendable {
  let core: InferenceProtocol
  let observer: ServiceObserver
  let connections: ConnectionRegistry
  let memory: RequestMemory
  let maximumMessageBytes: Int
  /// Whether requests are only for this machine: their Host must say so then.
  let isLoopback: Bool

  private typealias Handler = @Sendable (Call) async throws -> HTTPAnswer

  /// A request, who makes it and what is in its path.
  private struct Call: Sendable {
    let request: Request
    let caller: Caller
    let parameters: Parameters
    let maximumMessageBytes: Int
    /// What its body takes of the caller's memory.
    let share: RequestMemory.Share

    /// A part of the path, decoded; empty if the path has none.
    func part(_ name: String) -> String {
      let text = parameters.get(name) ?? ""
      return text.removingPercentEncoding ?? text
    }

    var model: String { part("model") }
    var version: String { part("version") }

    func body() async throws -> Data {
      let coding = try MessageCompression(contentEncoding: request.headers[.contentEncoding])
      if let length = request.headers[.contentLength].flatMap({ Int($0) }) { try admit(length) }
      var received = ByteBuffer()
      do {
        for try await part in request.body {
          try admit(received.readableBytes + part.readableBytes)
          received.writeImmutableBuffer(part)
        }
      } catch let error as ServiceError {
        throw error
      } catch {
        throw ServiceError(
          .invalidArgument, "the body of the request ended too early or is not HTTP: \(error)")
      }
      return Data(buffer: try await decompressed(received, coding), byteTransferStrategy: .noCopy)
    }

    private func admit(_ length: Int) throws(ServiceError) {
      guard length <= maximumMessageBytes else { throw tooLarge }
      try share.grow(to: length)
    }

    private func decompressed(
      _ received: ByteBuffer, _ coding: MessageCompression
    ) async throws -> ByteBuffer {
      guard coding != .identity else { return received }
      let limit = share.room(upTo: maximumMessageBytes)
      do {
        // A few bytes may become a thousand times as many.
        let body = try await MessageCompression.aside(isLong: received.readableBytes > 4096) {
          try coding.decompressed(received, limit: limit)
        }
        try share.grow(to: body.readableBytes)
        return body
      } catch CompressionError.tooLarge {
        throw limit < maximumMessageBytes ? share.refusal : tooLarge
      } catch let error as CompressionError {
        throw ServiceError(
          error == .outOfMemory ? .resourceExhausted : .invalidArgument,
          "the body can't be read as \(coding.rawValue): \(error)")
      }
    }

    /// The body as JSON; an empty body is an empty object.
    func body<Value: Decodable>(_ type: Value.Type) async throws -> Value {
      let data = try await body()
      return try JSONBody.decode(type, from: data.isEmpty ? Data("{}".utf8) : data)
    }

    private var tooLarge: ServiceError {
      ServiceError(
        .resourceExhausted,
        "the body is larger than the \(maximumMessageBytes) bytes that are accepted; split the request")
    }
  }

  func router() -> Router<HTTPContext> {
    let router = Router(context: HTTPContext.self)
    addPage(to: router)
    addHealth(to: router)
    addModels(to: router)
    addInference(to: router)
    addRepository(to: router)
    addSharedMemory(to: router)
    addSettings(to: router)
    return router
  }

  // Open to whoever can connect.
  private func addPage(to router: Router<HTTPContext>) {
    on(router, .get, "/", needs: .none) { _ in StatusPage.html }
    on(router, .get, "/page.js", needs: .none) { _ in StatusPage.script }
    on(router, .get, "/page.css", needs: .none) { _ in StatusPage.style }
    on(router, .get, "/status.json", needs: .none) { _ in HTTPAnswer(json: await observer.report().json) }
    on(router, .get, "/metrics", needs: .none) { _ in
      HTTPAnswer(text: await observer.metrics(), type: "text/plain; version=0.0.4; charset=utf-8")
    }
  }

  private func addHealth(to router: Router<HTTPContext>) {
    on(router, .get, "/v2/health/live", needs: .none) { _ in HTTPAnswer() }
    on(router, .get, "/v2/health/ready", needs: .none) { _ in
      HTTPAnswer(await core.isReady ? .ok : .serviceUnavailable)
    }
    onModel(router, .get, "/ready") { call in
      let answer = try await core.modelReady(
        .with {
          $0.name = call.model
          $0.version = call.version
        }, for: call.caller)
      return HTTPAnswer(answer.ready ? .ok : .serviceUnavailable)
    }
  }

  private func addModels(to router: Router<HTTPContext>) {
    on(router, .get, "/v2", needs: .infer) { _ in HTTPAnswer(json: core.serverMetadata().json) }
    onModel(router, .get, "") { call in
      HTTPAnswer(
        json: try await core.modelMetadata(
          .with {
            $0.name = call.model
            $0.version = call.version
          }, for: call.caller
        ).json)
    }
    onModel(router, .get, "/config") { call in
      HTTPAnswer(
        json: try await core.modelConfig(
          .with {
            $0.name = call.model
            $0.version = call.version
          }, for: call.caller
        ).config.json)
    }
    let statistics: Handler = { call in
      HTTPAnswer(
        json: try await core.modelStatistics(
          .with {
            $0.name = call.model
            $0.version = call.version
          }, for: call.caller
        ).json)
    }
    on(router, .get, "/v2/models/stats", needs: .infer, statistics)
    onModel(router, .get, "/stats", statistics)
  }

  private func addInference(to router: Router<HTTPContext>) {
    onModel(router, .post, "/infer") { call in
      let header = call.request.headers[HTTPHeader.jsonLength]
      let jsonByteCount = header.flatMap { Int($0) }
      guard header == nil || jsonByteCount != nil else {
        throw ServiceError(.invalidArgument, "Inference-Header-Content-Length is not a number")
      }
      let request = try HTTPInferenceRequest(
        try await call.body(), jsonByteCount: jsonByteCount, model: call.model, version: call.version)
      let answer = try await untilClientLeaves(call.caller) {
        try await core.infer(request.request, for: call.caller)
      }
      return HTTPAnswer(try HTTPInferenceResponse(answer, binary: request.binary))
    }
  }

  private func addRepository(to router: Router<HTTPContext>) {
    struct Index: Decodable { let ready: Bool? }
    struct Parameters: Decodable { let parameters: [String: JSONScalar]? }
    on(router, .post, "/v2/repository/index", needs: .infer) { call in
      let ready = try await call.body(Index.self).ready ?? false
      return HTTPAnswer(
        json: try await core.repositoryIndex(.with { $0.ready = ready }, for: call.caller).json)
    }
    on(router, .post, "/v2/repository/models/:model/load", needs: .infer) { call in
      let parameters = try await call.body(Parameters.self).parameters ?? [:]
      var message = Inference_RepositoryModelLoadRequest()
      message.modelName = call.model
      for (name, value) in parameters {
        message.parameters[name] = try Self.repositoryParameter(name, value)
      }
      _ = try await core.repositoryModelLoad(message, for: call.caller)
      return HTTPAnswer()
    }
    on(router, .post, "/v2/repository/models/:model/unload", needs: .infer) { call in
      _ = try await core.repositoryModelUnload(.with { $0.modelName = call.model }, for: call.caller)
      return HTTPAnswer()
    }
  }

  private func addSharedMemory(to router: Router<HTTPContext>) {
    struct Region: Decodable {
      let key: String
      let offset: UInt64?
      let byteCount: UInt64

      enum CodingKeys: String, CodingKey {
        case key
        case offset
        case byteCount = "byte_size"
      }
    }
    let status: Handler = { call in
      HTTPAnswer(
        json: try core.sharedMemoryStatus(.with { $0.name = call.part("region") }, for: call.caller).json)
    }
    let unregister: Handler = { call in
      _ = core.unregisterSharedMemory(.with { $0.name = call.part("region") }, for: call.caller)
      return HTTPAnswer()
    }
    let base = "/v2/systemsharedmemory"
    on(router, .get, "\(base)/status", needs: .infer, status)
    on(router, .get, "\(base)/region/:region/status", needs: .infer, status)
    on(router, .post, "\(base)/region/:region/register", needs: .infer) { call in
      let region = try await call.body(Region.self)
      _ = try core.registerSharedMemory(
        .with {
          $0.name = call.part("region")
          $0.key = region.key
          $0.offset = region.offset ?? 0
          $0.byteSize = region.byteCount
        }, for: call.caller)
      return HTTPAnswer()
    }
    on(router, .post, "\(base)/unregister", needs: .infer, unregister)
    on(router, .post, "\(base)/region/:region/unregister", needs: .infer, unregister)
    let cuda = "/v2/cudasharedmemory"
    // Triton's examples begin by giving back all regions, of which there are none.
    on(router, .post, "\(cuda)/unregister", needs: .infer) { _ in HTTPAnswer() }
    for (method, path) in [
      (HTTPRequest.Method.get, "status"), (.get, "region/:region/status"),
      (.post, "region/:region/register"), (.post, "region/:region/unregister"),
    ] {
      on(router, method, "\(cuda)/\(path)", needs: .infer) { _ in throw InferenceProtocol.noCUDA }
    }
  }

  private func addSettings(to router: Router<HTTPContext>) {
    let trace: Handler = { call in
      var message = Inference_TraceSettingRequest()
      message.modelName = call.model
      if call.request.method == .post {
        message.settings = try await call.body([String: HTTPSetting].self).mapValues { setting in
          .with { $0.value = setting.texts }
        }
      }
      return HTTPAnswer(json: try await core.traceSetting(message, for: call.caller).json)
    }
    let logging: Handler = { call in
      var message = Inference_LogSettingsRequest()
      if call.request.method == .post {
        message.settings = try await call.body([String: JSONScalar].self).mapValues { value in
          .with {
            switch value {
            case .bool(let value): $0.boolParam = value
            case .integer(let value): $0.uint32Param = UInt32(clamping: value)
            default: $0.stringParam = value.text
            }
          }
        }
      }
      return HTTPAnswer(json: try core.logSettings(message, for: call.caller).json)
    }
    for method in [HTTPRequest.Method.get, .post] {
      on(router, method, "/v2/trace/setting", needs: .infer, trace)
      on(router, method, "/v2/models/:model/trace/setting", needs: .infer, trace)
      on(router, method, "/v2/logging", needs: .infer, logging)
    }
  }
}

// How a handler gets its call, and what becomes of its errors.
extension HTTPRoutes {
  /// A path of a model, with and without a version.
  private func onModel(
    _ router: Router<HTTPContext>, _ method: HTTPRequest.Method, _ suffix: String,
    _ handler: @escaping Handler
  ) {
    on(router, method, "/v2/models/:model\(suffix)", needs: .infer, handler)
    on(router, method, "/v2/models/:model/versions/:version\(suffix)", needs: .infer, handler)
  }

  private func on(
    _ router: Router<HTTPContext>, _ method: HTTPRequest.Method, _ path: String, needs role: Role,
    _ handler: @escaping Handler
  ) {
    router.on(RouterPath(path), method: method) { request, context in
      do {
        let name = HTTPPeerHandler.header
        let caller = try Caller(stamps: name.map { request.headers[values: $0] } ?? [])
        try checkOrigin(request)
        try caller.require(role, to: "ask for \(path)")
        let coding = try AcceptedCoding(request.headers[.acceptEncoding])
        let answer = try await handler(
          Call(
            request: request, caller: caller, parameters: context.parameters,
            maximumMessageBytes: maximumMessageBytes,
            share: RequestMemory.Share(of: memory, for: caller.user)))
        return await answer.response(in: coding)
      } catch let error as HTTPRefusal {
        return HTTPAnswer.refusal(error)
      } catch {
        let error = ServiceError(error)
        return HTTPAnswer.refusal(HTTPRefusal(error.httpStatus, error.description))
      }
    }
  }

  /// A page of the internet that a browser on this machine shows must not speak to us: neither under a name of its own
  /// that leads here, nor with requests from its origin.
  private func checkOrigin(_ request: Request) throws(ServiceError) {
    guard isLoopback else { return }
    let host = Self.host(of: request.head.authority ?? "")
    let origin = request.headers[.origin].map {
      Self.host(of: $0.split(separator: "/").last.map(String.init) ?? "")
    }
    guard Self.localHosts.contains(host), origin.map(Self.localHosts.contains) ?? true else {
      throw ServiceError(
        .permissionDenied, "this address answers programs of this machine only, as localhost or 127.0.0.1")
    }
  }

  private static let localHosts: Set<String> = ["localhost", "127.0.0.1", "[::1]"]

  /// Without the port.
  private static func host(of authority: String) -> String {
    guard !authority.hasPrefix("[") else {
      return authority.prefix { $0 != "]" } + "]"
    }
    return String(authority.prefix { $0 != ":" })
  }

  private static func repositoryParameter(
    _ name: String, _ value: JSONScalar
  ) throws(ServiceError) -> Inference_ModelRepositoryParameter {
    if name.hasPrefix("file:") {
      guard case .text(let text) = value, let bytes = Data(base64Encoded: text) else {
        throw ServiceError(.invalidArgument, "the parameter \(name.prefix(200)) is not base64 text")
      }
      return .with { $0.bytesParam = bytes }
    }
    return .with {
      switch value {
      case .bool(let value): $0.boolParam = value
      case .integer(let value): $0.int64Param = value
      default: $0.stringParam = value.text
      }
    }
  }

  private func untilClientLeaves<Output: Sendable>(
    _ caller: Caller, _ body: @escaping @Sendable () async throws -> Output
  ) async throws -> Output {
    let work = Task(operation: body)
    let watch = connections.whenClosed(caller.connection) { work.cancel() }
    defer { connections.forget(watch) }
    return try await withTaskCancellationHandler {
      try await work.value
    } onCancel: { [drain = core.drain] in
      if !drain.hasBegun { work.cancel() }
    }
  }
}

enum HTTPHeader {
  /// How much of the body is JSON.
  static let jsonLength = HTTPField.Name("Inference-Header-Content-Length") ?? .contentLength
}

/// A setting as clients write it: a text, a list of texts, or nothing.
private struct HTTPSetting: Decodable {
  let texts: [String]

  init(from decoder: any Swift.Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      texts = []
    } else if let values = try? container.decode([JSONScalar].self) {
      texts = values.map(\.text)
    } else {
      texts = [try container.decode(JSONScalar.self).text]
    }
  }
}

extension ServiceError {
  /// As Triton answers, as far as it has the same errors.
  fileprivate var httpStatus: HTTPResponse.Status {
    switch kind {
    case .invalidArgument, .failedPrecondition: .badRequest
    case .notFound: .notFound
    case .alreadyExists: .conflict
    case .permissionDenied: .forbidden
    case .resourceExhausted: .tooManyRequests
    case .unavailable: .serviceUnavailable
    case .deadlineExceeded: .gatewayTimeout
    // No client reads it.
    case .cancelled: .init(code: 499, reasonPhrase: "Client Closed Request")
    case .unimplemented: .notImplemented
    case .internal: .internalServerError
    }
  }
}
