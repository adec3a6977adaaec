/// What one user may hold at the same time, over all of their connections.
package struct UserQuota: Hashable, Sendable {
  /// Submitted models, each version counted.
  package var models: Int
  /// Device memory of these.
  package var modelBytes: UInt64
  /// Requests that wait or run.
  package var requests: Int
  /// Memory of requests, from their arrival to their answer.
  package var requestBytes: Int
  /// Open connections; one more is closed at once.
  package var connections: Int

  package init(
    models: Int = 64, modelBytes: UInt64 = .max, requests: Int = 128, requestBytes: Int = 1 << 30,
    connections: Int = 512
  ) {
    self.models = models
    self.modelBytes = modelBytes
    self.requests = requests
    self.requestBytes = requestBytes
    self.connections = connections
  }
}

/// What users hold of it.
struct QuotaUsage {
  private struct Held {
    var models = 0
    var bytes: UInt64 = 0
  }

  var quota: UserQuota
  private var held: [Caller.User: Held] = [:]

  init(quota: UserQuota) { self.quota = quota }

  /// Counts models of a user before they are loaded.
  /// - Throws: ``ServiceError`` if that is more than the user may have; nothing is counted then.
  mutating func take(models: Int, bytes: UInt64, for user: Caller.User) throws(ServiceError) {
    var own = held[user] ?? Held()
    guard own.models + models <= quota.models else {
      throw ServiceError(
        .resourceExhausted,
        "\(user) has \(own.models) submitted models of the \(quota.models) that are allowed; unload one first"
      )
    }
    let (sum, overflow) = own.bytes.addingReportingOverflow(bytes)
    guard !overflow, sum <= quota.modelBytes else {
      throw ServiceError(
        .resourceExhausted,
        "\(bytes) bytes more of device memory are over the \(quota.modelBytes) that \(user) may hold "
          + "(\(own.bytes) are held); unload a model first")
    }
    own.models += models
    own.bytes = sum
    held[user] = own
  }

  mutating func giveBack(models: Int, bytes: UInt64, of user: Caller.User) {
    guard var own = held[user] else { return }
    own.models -= min(models, own.models)
    own.bytes -= min(bytes, own.bytes)
    held[user] = own.models == 0 ? nil : own
  }
}
