internal import Synchronization

/// What has been asked of one version of a model since it was first served; reloading it goes on counting.
final class ModelRecord: Sendable {
  struct Total: Sendable {
    var count: UInt64 = 0
    var nanoseconds: UInt64 = 0

    mutating func add(_ duration: Duration, count: UInt64 = 1) {
      self.count += count
      nanoseconds &+= duration.nanoseconds
    }
  }

  /// Where the time of one answered request went.
  struct Times: Sendable {
    /// From the request's arrival to the answer.
    var whole = Duration.zero
    var queue = Duration.zero
    var input = Duration.zero
    var compute = Duration.zero
    var output = Duration.zero
  }

  struct Values: Sendable {
    var success = Total()
    var failure = Total()
    var queue = Total()
    var input = Total()
    var compute = Total()
    var output = Total()
    /// Of answered requests, from arrival to answer.
    var duration = Histogram()
    /// Of these, what they waited for a device.
    var queueDuration = Histogram()
    /// Samples of answered requests.
    var samples: UInt64 = 0
    /// Since 1970; 0 if there was none.
    var lastMilliseconds: UInt64 = 0
  }

  private let state = Mutex(Values())

  var values: Values { state.withLock { $0 } }

  /// How long so many samples will probably take; a guess before there were any.
  func usualCompute(samples: Int) -> Duration {
    let (nanoseconds, known) = state.withLock { ($0.compute.nanoseconds, $0.samples) }
    guard known > 0 else { return .milliseconds(1) }
    return .nanoseconds(Int64(clamping: nanoseconds / known)) * max(1, samples)
  }

  func answered(_ times: Times, samples: Int, at milliseconds: UInt64) {
    state.withLock {
      $0.success.add(times.whole)
      $0.queue.add(times.queue)
      $0.input.add(times.input)
      $0.compute.add(times.compute)
      $0.output.add(times.output)
      $0.duration.add(times.whole)
      $0.queueDuration.add(times.queue)
      $0.samples += UInt64(samples)
      $0.lastMilliseconds = milliseconds
    }
  }

  func failed(after duration: Duration) { state.withLock { $0.failure.add(duration) } }
}

extension Duration {
  /// 0 if it is negative.
  package var nanoseconds: UInt64 {
    let (seconds, attoseconds) = components
    return UInt64(clamping: seconds) &* 1_000_000_000 &+ UInt64(clamping: attoseconds / 1_000_000_000)
  }
}
