internal import SwiftProtobuf
internal import Synchronization

/// Which requests leave a line with their times in the log: Triton's trace extension. A model without settings of its own
/// has the server's.
final class TraceSettings: Sendable {
  /// As clients write them.
  struct Values: Sendable, Equatable {
    var level = ["OFF"]
    /// One request in so many.
    var rate: UInt64 = 1000
    /// Lines that are still to be written; `nil`: no limit.
    var count: UInt64?
  }

  private struct State {
    var server = Values()
    var models: [String: Values] = [:]
    var seen: [String: UInt64] = [:]
  }

  private let state = Mutex(State())

  static let names = [
    "log_frequency", "trace_count", "trace_file", "trace_level", "trace_mode", "trace_rate",
  ]

  /// - Parameter model: Empty: the server's.
  func all(of model: String) -> [String: [String]] {
    let values = state.withLock { $0.models[model] ?? $0.server }
    return [
      "trace_level": values.level, "trace_rate": ["\(values.rate)"],
      "trace_count": [values.count.map(String.init) ?? "-1"],
      "trace_mode": ["triton"], "trace_file": [""], "log_frequency": ["0"],
    ]
  }

  /// - Parameters:
  ///   - settings: By name; without values: back to what it would be without having been set.
  ///   - model: Empty: the server's.
  /// - Throws: ``ServiceError`` for a setting that doesn't exist or can't have the value; nothing is changed then.
  func change(_ settings: [String: [String]], of model: String) throws(ServiceError) {
    let changed = state.withLock { state -> Result<Void, ServiceError> in
      let fallback = model.isEmpty ? Values() : state.server
      var values = state.models[model] ?? state.server
      do throws(ServiceError) {
        for (name, value) in settings {
          try Self.set(name, to: value.isEmpty ? nil : value, in: &values, else: fallback)
        }
      } catch {
        return .failure(error)
      }
      if model.isEmpty { state.server = values } else { state.models[model] = values }
      state.seen[model] = nil
      return .success(())
    }
    try changed.get()
  }

  /// Whether the next request of the model is written about. Counts it.
  func isTraced(_ model: String) -> Bool {
    state.withLock { state in
      let isOwn = state.models[model] != nil
      let values = state.models[model] ?? state.server
      guard values.level != ["OFF"], values.count != 0 else { return false }
      let scope = isOwn ? model : ""
      let seen = state.seen[scope] ?? 0
      state.seen[scope] = seen &+ 1
      guard seen % values.rate == 0 else { return false }
      if let count = values.count {
        if isOwn { state.models[model]?.count = count - 1 } else { state.server.count = count - 1 }
      }
      return true
    }
  }

  private static func set(
    _ name: String, to value: [String]?, in values: inout Values, else fallback: Values
  ) throws(ServiceError) {
    switch name {
    case "trace_level":
      let level = value ?? fallback.level
      guard !level.isEmpty, level.allSatisfy({ ["OFF", "TIMESTAMPS"].contains($0) }) else {
        throw ServiceError(.invalidArgument, "the trace setting trace_level takes OFF or TIMESTAMPS")
      }
      values.level = level.contains("TIMESTAMPS") ? ["TIMESTAMPS"] : ["OFF"]
    case "trace_rate":
      guard let text = value?.first else { return values.rate = fallback.rate }
      guard let rate = UInt64(text), rate > 0 else {
        throw ServiceError(.invalidArgument, "the trace setting trace_rate takes a number from 1")
      }
      values.rate = rate
    case "trace_count":
      guard let text = value?.first else { return values.count = fallback.count }
      guard let count = Int64(text), count >= -1 else {
        throw ServiceError(.invalidArgument, "the trace setting trace_count takes -1 or a number of lines")
      }
      values.count = UInt64(exactly: count)
    case "trace_mode" where value ?? ["triton"] == ["triton"]: break
    case "trace_file" where value ?? [""] == [""]: break
    case "log_frequency" where value ?? ["0"] == ["0"]: break
    case "trace_mode", "trace_file", "log_frequency":
      throw ServiceError(
        .invalidArgument, "the trace setting \(name) can't be changed; vtad writes traces to its log")
    default:
      throw ServiceError(
        .invalidArgument,
        "there is no trace setting '\(name.prefix(100))'; there are \(names.joined(separator: ", "))")
    }
  }
}
