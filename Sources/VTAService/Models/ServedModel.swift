internal import VTAModule

/// A model that a call may use. Holding it keeps it on the device.
struct ServedModel: Sendable {
  let name: String
  let version: String
  /// All that can be used.
  let versions: [String]
  let instances: ModelInstances
  let record: ModelRecord

  var module: Module { instances.module }
}

/// A line of the repository's index.
struct IndexEntry: Hashable, Sendable {
  let name: String
  let version: String
  /// Why it can't be used; `nil` if it can.
  let reason: String?

  var isReady: Bool { reason == nil }
}

struct ModelCounts: Hashable, Sendable {
  var ready = 0
  var unavailable = 0
  var submitted = 0
}
