internal import NIOCore
internal import NIOPosix

/// Runs tasks on the event loops that wake them. A call that waits for its connection goes on where the connection is
/// served, without a thread to be woken for each step: on the global executor, gRPC's own steps took most of a small
/// call's time.
///
/// What runs here holds up the other calls of its event loop: work of more than some microseconds belongs elsewhere.
final class EventLoopExecutor: TaskExecutor {
  /// On the event loop that a task is woken from, else on any.
  static let all = EventLoopExecutor(MultiThreadedEventLoopGroup.singleton)

  private let group: any EventLoopGroup

  init(_ group: any EventLoopGroup) { self.group = group }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    group.any().execute { [self] in job.runSynchronously(on: asUnownedTaskExecutor()) }
  }
}
