internal import NIOCore

/// Runs tasks on one event loop: a call that waits for its connection goes on where the connection is served, without a
/// thread to be woken for each step.
///
/// What runs here holds up the other calls of the event loop: work of more than some microseconds belongs elsewhere.
final class EventLoopExecutor: TaskExecutor {
  private let eventLoop: any EventLoop

  init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    eventLoop.execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
