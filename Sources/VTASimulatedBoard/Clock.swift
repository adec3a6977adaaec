private import CVTALinux

#if canImport(Glibc)
  private import Glibc
#elseif canImport(Musl)
  private import Musl
#endif

/// The board's time.
final class Clock {
  let mode: SimulatedBoard.Options.Clock
  /// Starts at the time of this machine, so that deadlines of its clock mean something.
  private var simulated: ContinuousClock.Instant

  init(_ mode: SimulatedBoard.Options.Clock) {
    self.mode = mode
    simulated = .now
  }

  var now: ContinuousClock.Instant { mode == .real ? .now : simulated }

  /// Something took this long; a real clock has noticed.
  func pass(_ duration: Duration) {
    if mode == .simulated, duration > .zero { simulated += duration }
  }

  /// Sleeps really.
  static func wait(_ duration: Duration) { vta_sleep(Int64(duration / .nanoseconds(1))) }
}

/// A lock that blocks; held for the length of one kernel call.
final class Lock {
  // SAFETY: the pointer is set once; a mutex may be used from any thread.
  private nonisolated(unsafe) let mutex: UnsafeMutablePointer<pthread_mutex_t>

  init() {
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func hold<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }
}
