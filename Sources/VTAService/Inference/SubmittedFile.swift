/// The `.vtab` file in the parameters of a load request.
struct SubmittedFile {
  let bytes: [UInt8]

  /// `nil` if there is none: the model is one of the directory.
  /// - Throws: If there are several files or parameters that have no meaning here.
  init?(_ parameters: [String: Inference_ModelRepositoryParameter]) throws(ServiceError) {
    var files: [(name: String, bytes: [UInt8])] = []
    for (key, parameter) in parameters {
      switch (key, parameter.parameterChoice) {
      case (let key, .bytesParam(let bytes)?) where key.hasPrefix("file:"):
        files.append((key, [UInt8](bytes)))
      case ("config", .stringParam(let text)?) where text.isEmpty || text == "{}":
        // Triton's clients must send a configuration with a file; a .vtab needs none.
        break
      default:
        throw ServiceError(
          .invalidArgument,
          "the parameter \(key) can't be used; send the .vtab as bytes under file:NAME and nothing else")
      }
    }
    guard files.count <= 1 else {
      let names = files.map(\.name).sorted().joined(separator: " and ")
      throw ServiceError(
        .invalidArgument, "the request has the files \(names), but a model is one .vtab file; send one")
    }
    guard let file = files.first else { return nil }
    bytes = file.bytes
  }
}
