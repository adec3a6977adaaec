private import Glibc
private import Synchronization
internal import VTA

/// Threads that help with a run of the simulator. Between runs they spin for some microseconds; then they sleep until the
/// next one.
final class WorkerTeam: ParallelExecutor {
  let width: Int
  private let members: [Member]

  /// About 20 µs.
  private static let spinsMax = 20_000

  private enum State {
    static let idle = 0
    static let offered = 1
    static let running = 2
  }

  /// One other thread than the caller's.
  private final class Member: Sendable {
    let index: Int
    let state = Atomic<Int>(State.idle)
    let isAsleep = Atomic<Bool>(false)
    let mustStop = Atomic<Bool>(false)
    let wake = Semaphore()
    /// The closure of the current call; it outlives the call because the caller waits.
    // SAFETY: written while `state` is idle, read after it was changed from offered to running.
    nonisolated(unsafe) var body: UnsafePointer<(Int) -> Void>?

    init(index: Int) { self.index = index }

    func work() {
      while true {
        waitForOffer()
        let taken = state.compareExchange(
          expected: State.offered, desired: State.running, ordering: .acquiringAndReleasing)
        guard taken.exchanged else { continue }
        if mustStop.load(ordering: .acquiring) { return }
        body?.pointee(index)
        state.store(State.idle, ordering: .releasing)
      }
    }

    private func waitForOffer() {
      var spins = 0
      while state.load(ordering: .acquiring) != State.offered {
        spins += 1
        guard spins > WorkerTeam.spinsMax else { continue }
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        let hasWork = state.load(ordering: .sequentiallyConsistent) == State.offered
        // Whoever clears the flag decides: if it was the caller, a signal is on its way and must be taken.
        if !hasWork || !isAsleep.exchange(false, ordering: .sequentiallyConsistent) { wake.wait() }
        spins = 0
      }
    }

    func offer(_ body: UnsafePointer<(Int) -> Void>?) {
      self.body = body
      state.store(State.offered, ordering: .sequentiallyConsistent)
      if isAsleep.exchange(false, ordering: .sequentiallyConsistent) { wake.signal() }
    }

    /// Takes the offer back, or waits until the member is done with it.
    func end() {
      let taken = state.compareExchange(
        expected: State.offered, desired: State.idle, ordering: .acquiringAndReleasing)
      if taken.exchanged { return }
      var spins = 0
      while state.load(ordering: .acquiring) != State.idle {
        spins += 1
        if spins % WorkerTeam.spinsMax == 0 { sched_yield() }
      }
    }
  }

  /// - Parameter width: threads in all, the caller's included; fewer if the system gives no more.
  init(width: Int) {
    var members: [Member] = []
    for index in 1..<max(1, width) {
      let member = Member(index: index)
      guard startThread({ member.work() }) == 0 else { break }
      members.append(member)
    }
    self.members = members
    self.width = members.count + 1
  }

  deinit {
    for member in members {
      member.mustStop.store(true, ordering: .releasing)
      member.offer(nil)
    }
  }

  func yield() { _ = sched_yield() }

  func perform(_ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { pointer in
        for member in members { member.offer(pointer) }
        body(0)
        for member in members { member.end() }
      }
    }
  }
}
