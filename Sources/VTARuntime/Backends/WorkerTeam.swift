private import Glibc
private import Synchronization
internal import VTA

/// Threads that share the simulator's large instructions. Between instructions of a run they spin for some microseconds;
/// then they sleep until the next one.
final class WorkerTeam: ParallelExecutor {
  let width: Int
  private let members: [Member]

  /// Loads between two looks at the clock would cost more than they save: about 20 µs.
  private static let spinsMax = 20_000

  /// One other thread than the caller's.
  private final class Member: Sendable {
    let index: Int
    /// Counts calls.
    let ticket = Atomic<UInt64>(0)
    let finished = Atomic<UInt64>(0)
    let isAsleep = Atomic<Bool>(false)
    let mustStop = Atomic<Bool>(false)
    let wake = Semaphore()
    /// The closure of the current call; it outlives the call because the caller waits.
    // SAFETY: written before `ticket` is released, read after it was acquired.
    nonisolated(unsafe) var body: UnsafePointer<(Int) -> Void>?

    init(index: Int) { self.index = index }

    func work() {
      var done: UInt64 = 0
      while true {
        waitForTicket(after: done)
        if mustStop.load(ordering: .acquiring) { return }
        body?.pointee(index)
        done += 1
        finished.store(done, ordering: .releasing)
      }
    }

    private func waitForTicket(after done: UInt64) {
      var spins = 0
      while ticket.load(ordering: .acquiring) == done {
        spins += 1
        guard spins > WorkerTeam.spinsMax else { continue }
        isAsleep.store(true, ordering: .sequentiallyConsistent)
        let hasWork = ticket.load(ordering: .sequentiallyConsistent) != done
        // Whoever clears the flag decides: if it was the caller, a signal is on its way and must be taken.
        if !hasWork || !isAsleep.exchange(false, ordering: .sequentiallyConsistent) { wake.wait() }
        spins = 0
      }
    }

    func give(_ body: UnsafePointer<(Int) -> Void>?) {
      self.body = body
      ticket.wrappingAdd(1, ordering: .sequentiallyConsistent)
      if isAsleep.exchange(false, ordering: .sequentiallyConsistent) { wake.signal() }
    }

    func waitUntilFinished() {
      let target = ticket.load(ordering: .relaxed)
      while finished.load(ordering: .acquiring) != target {}
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
      member.give(nil)
    }
  }

  func perform(_ body: (Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      withUnsafePointer(to: body) { pointer in
        for member in members { member.give(pointer) }
        body(0)
        for member in members { member.waitUntilFinished() }
      }
    }
  }
}
