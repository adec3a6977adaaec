internal import Foundation

/// The `.vtab` files in the parameters of a load request, and who shall see the model.
struct ModelUpload: Sendable {
  enum Audience: Sendable {
    /// Gone when the caller leaves.
    case connection
    /// Kept in the model folder.
    case everybody
  }

  /// One version of the model.
  struct File: Sendable {
    let version: UInt64
    let bytes: [UInt8]
  }

  let files: [File]
  let audience: Audience

  /// `nil` if there is no file: the model is one of the folder.
  /// - Throws: ``ServiceError`` for parameters that have no meaning here, and two files of one version.
  init?(_ parameters: [String: Inference_ModelRepositoryParameter]) throws(ServiceError) {
    var files: [UInt64: [UInt8]] = [:]
    var audience = Audience.connection
    for (key, parameter) in parameters {
      switch (key, parameter.parameterChoice) {
      case (let key, .bytesParam(let bytes)?) where key.hasPrefix("file:"):
        let version = try Self.version(ofFile: String(key.dropFirst("file:".count)))
        guard files.updateValue([UInt8](bytes), forKey: version) == nil else {
          throw ServiceError(
            .invalidArgument,
            "the request has two files for version \(version); a version of a model is one .vtab file")
        }
      case ("config", .stringParam(let text)?): audience = try Self.audience(ofConfig: text)
      default:
        throw ServiceError(
          .invalidArgument,
          "the parameter \(key) can't be used; send each .vtab as bytes under file:VERSION/model.vtab, and config"
        )
      }
    }
    if files.isEmpty {
      guard audience == .connection else {
        throw ServiceError(
          .invalidArgument, "the config has a visibility, but there is no file; send the .vtab with it")
      }
      return nil
    }
    self.files = files.sorted { $0.key < $1.key }.map { File(version: $0.key, bytes: $0.value) }
    self.audience = audience
  }

  /// `VERSION/model.vtab`, or any name without a folder: version 1.
  private static func version(ofFile path: String) throws(ServiceError) -> UInt64 {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    if parts.count == 1, !path.isEmpty { return 1 }
    guard parts.count == 2, let version = UInt64(parts[0]), version > 0, String(version) == parts[0],
      parts[1] == "model.vtab"
    else {
      throw ServiceError(
        .invalidArgument, "the file name '\(path.prefix(200))' is not VERSION/model.vtab with a number from 1"
      )
    }
    return version
  }

  /// Triton's clients must send a configuration with a file. Everything else in it the module says itself.
  private static func audience(ofConfig text: String) throws(ServiceError) -> Audience {
    if text.isEmpty { return .connection }
    guard
      let object = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
    else { throw ServiceError(.invalidArgument, "the config is not a JSON object; send {} if in doubt") }
    let parameters = object["parameters"] as? [String: Any]
    let visibility = parameters?["visibility"] as? [String: Any]
    switch visibility?["string_value"] as? String {
    case nil where visibility == nil, "connection"?: return .connection
    case "everybody"?: return .everybody
    default:
      throw ServiceError(.invalidArgument, "the visibility in the config takes connection or everybody")
    }
  }
}
