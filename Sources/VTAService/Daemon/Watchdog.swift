internal import Logging
internal import Synchronization

/// Tells systemd that the daemon is alive, as long as it is: every device thread is idle or inside its run's deadline,
/// and the service answers its own health call. Otherwise it is silent, and systemd starts the daemon again.
struct Watchdog: Sendable {
  /// How long a call to oneself may take.
  let patience: Duration
  /// Names devices whose run goes on beyond its deadline.
  let stuckDevices: @Sendable () -> [String]
  /// Calls the service as a client would; throws if it does not answer.
  var callOneself: @Sendable () async throws -> Void
  let notifyAlive: @Sendable () -> Void
  let logger: Logger

  /// One look, and a sign of life if all is well.
  /// - Returns: Whether it is.
  @discardableResult
  func beat() async -> Bool {
    let stuck = stuckDevices()
    guard stuck.isEmpty else {
      logger.error("no sign of life: a run goes on beyond its deadline", metadata: ["devices": "\(stuck)"])
      return false
    }
    guard await answersInTime() else {
      // Not because somebody has told us to stop.
      if !Task.isCancelled {
        logger.error("no sign of life: the service does not answer its own health call")
      }
      return false
    }
    notifyAlive()
    return true
  }

  /// The call is not waited for beyond that time: it need not notice that it was cancelled.
  private func answersInTime() async -> Bool {
    let (results, continuation) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingOldest(1))
    let call = Task {
      continuation.yield((try? await callOneself()) != nil)
    }
    let limit = Task {
      try? await Task.sleep(for: patience)
      continuation.yield(false)
    }
    defer {
      call.cancel()
      limit.cancel()
    }
    var first = results.makeAsyncIterator()
    // `nil` if this task is cancelled.
    return await first.next() ?? false
  }
}
