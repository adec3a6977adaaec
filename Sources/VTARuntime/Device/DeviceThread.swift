private import Synchronization

/// One thread, and the bounded queue of what it still has to do. Jobs run one after the other, in order.
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
  /// Counts jobs and the stop request; a semaphore needs no lock shared with `queue`.
  private let signals: Semaphore

  /// Starts the thread and waits until `makeDevice` has run on it, so that a device that can't be opened is an error
  /// here.
  init(makeDevice: @escaping @Sendable () throws(DeviceError) -> sending Device) throws(DeviceError) {
    signals = Semaphore()
    let opened = Semaphore()
    let failure = Mutex<DeviceError?>(nil)
    let code = startThread { [self] in
      let device: Device
      do throws(DeviceError) {
        device = try makeDevice()
      } catch {
        failure.withLock { $0 = error }
        opened.signal()
        return
      }
      opened.signal()
      serve(device)
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

  private func serve(_ device: Device) {
    while true {
      signals.wait()
      let (job, phase) = queue.withLock { queue in
        (queue.jobs.isEmpty ? nil : queue.jobs.removeFirst(), queue.phase)
      }
      if let job {
        job.run(device)
      } else if phase == .stopping {
        break
      }
    }
    device.close()
    let waiters = queue.withLock { queue in
      queue.phase = .stopped
      return queue.stopWaiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
