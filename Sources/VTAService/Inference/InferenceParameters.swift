/// Parameters that would change what a request means. Whoever sends one must learn that it has no effect.
enum InferenceParameters {
  /// Parameter → what it asks for.
  private static let unsupported = [
    ("shared_memory_region", "shared memory"),
    ("classification", "classification"),
    ("sequence_id", "sequences"),
  ]

  static func refuseUnsupported(
    _ parameters: [String: Inference_InferParameter], of what: @autoclosure () -> String
  ) throws(ServiceError) {
    if parameters.isEmpty { return }
    for (name, feature) in unsupported where parameters[name] != nil {
      throw ServiceError(
        .invalidArgument, "\(what()) asks for \(feature) (\(name)), which vtad doesn't have; leave it out")
    }
  }
}
