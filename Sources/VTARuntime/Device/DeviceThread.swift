private import Synchronization

/// A device, its thread, and the bounded queue of what that still has to do. Jobs run one after the other, in order; a
/// short one may run on another thread while there are none.
final class DeviceThread: Sendable {
  /// Requests that may wait.
  static let queueLimit = 256

  /// One of the two closures is called exactly once.
  struct Job: Sendable {
    let run: @Sendable (Device) -> Void
    let refuse: @Sendable (DeviceError) -> Void
  }

  private enum Phase {
    case running
    case stopping
    case stopped
  }

  private struct Queue {
    var jobs: [Job] = []
    var phase = Phase.running
    var stopWaiters: [CheckedContinuation<Void, Never>] = []
  }

  private let queue = Mutex(Queue())
  /// Whose turn it is on the device.
  private let turn = Mutex(())
  /// `nil` before it is opened and after it is closed.
  // SAFETY: looked at only by who has the turn.
  private nonisolated(unsafe) var device: Device?
  /// Counts jobs and the stop request; a semaphore needs no lock shared with `queue`.
  private let signals: Semaphore

  /// Starts the thread and waits until `makeDevice` has run on it, so that a device that can't be opened is an error
  /// here.
  init(makeDevice: @escaping @Sendable () throws(DeviceError) -> sending Device) throws(DeviceError) {
    signals = Semaphore()
    let opened = Semaphore()
    let failure = Mutex<DeviceError?>(nil)
    let code = startThread { [self] in
      do throws(DeviceError) {
        let opened = try makeDevice()
        turn.withLock { _ in device = opened }
      } catch {
        failure.withLock { $0 = error }
        opened.signal()
        return
      }
      opened.signal()
      serve()
    }
    guard code == 0 else { throw .threadFailed(code: code) }
    opened.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  enum Refusal {
    case full
    case closed
  }

  /// - Parameter evenIfFull: for jobs that only free something.
  /// - Returns: why the job was not taken; none of its closures is called then.
  func submit(_ job: Job, evenIfFull: Bool = false) -> Refusal? {
    let refusal: Refusal? = queue.withLock { queue in
      guard queue.phase == .running else { return .closed }
      guard evenIfFull || queue.jobs.count < Self.queueLimit else { return .full }
      queue.jobs.append(job)
      return nil
    }
    if refusal == nil { signals.signal() }
    return refusal
  }

  /// Runs a short job on the calling thread: waking the device's thread and being woken by it takes longer.
  /// - Returns: `nil` if the device is busy or closed: then it is a job for ``submit(_:evenIfFull:)``.
  func runIfIdle<Result: Sendable>(_ body: (Device) throws -> Result) rethrows -> Result? {
    guard queue.withLock({ $0.phase == .running && $0.jobs.isEmpty }) else { return nil }
    return try turn.withLockIfAvailable { _ in try device.map { try body($0) } } ?? nil
  }

  /// Refuses what waits, lets the running job end, closes the device and ends the thread.
  func stop() async {
    await withCheckedContinuation { continuation in
      let isStopped = queue.withLock { queue in
        if queue.phase != .stopped { queue.stopWaiters.append(continuation) }
        return queue.phase == .stopped
      }
      if isStopped { continuation.resume() } else { requestStop() }
    }
  }

  /// ``stop()`` without waiting for the end.
  func requestStop() {
    let waiting = queue.withLock { queue in
      let jobs = queue.jobs
      queue.jobs = []
      if queue.phase == .running { queue.phase = .stopping }
      return jobs
    }
    for job in waiting { job.refuse(.closed) }
    signals.signal()
  }

  private func serve() {
    while true {
      signals.wait()
      let (job, phase) = queue.withLock { queue in
        (queue.jobs.isEmpty ? nil : queue.jobs.removeFirst(), queue.phase)
      }
      if let job {
        turn.withLock { _ in
          if let device { job.run(device) }
        }
      } else if phase == .stopping {
        break
      }
    }
    turn.withLock { _ in
      device?.close()
      device = nil
    }
    let waiters = queue.withLock { queue in
      queue.phase = .stopped
      return queue.stopWaiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
