/// Parameters of a request, an input or an output, as clients of any language write them.
struct RequestParameters {
  private let values: [String: Inference_InferParameter]
  private let what: String

  /// - Parameter what: Whose parameters, for sentences.
  init(_ values: [String: Inference_InferParameter], of what: String) {
    self.values = values
    self.what = what
  }

  func contains(_ name: String) -> Bool { values[name] != nil }

  func text(_ name: String) throws(ServiceError) -> String? {
    guard let value = values[name] else { return nil }
    guard case .stringParam(let text)? = value.parameterChoice else { throw wrong(name, "a text") }
    return text
  }

  /// A number that is not negative, whatever type it was sent as.
  func number(_ name: String) throws(ServiceError) -> UInt64? {
    guard let value = values[name] else { return nil }
    let number: UInt64? =
      switch value.parameterChoice {
      case .int64Param(let number)?: UInt64(exactly: number)
      case .uint64Param(let number)?: number
      default: nil
      }
    guard let number else { throw wrong(name, "a whole number that is not negative") }
    return number
  }

  func flag(_ name: String) throws(ServiceError) -> Bool {
    guard let value = values[name] else { return false }
    guard case .boolParam(let flag)? = value.parameterChoice else { throw wrong(name, "true or false") }
    return flag
  }

  /// A parameter that would change what the request means, but has no effect here.
  func refuse(_ name: String, feature: String) throws(ServiceError) {
    guard values[name] == nil else {
      throw ServiceError(
        .invalidArgument, "\(what) asks for \(feature) (\(name)), which vtad doesn't have; leave it out")
    }
  }

  private func wrong(_ name: String, _ expected: String) -> ServiceError {
    ServiceError(.invalidArgument, "\(what): the parameter \(name) takes \(expected)")
  }
}
