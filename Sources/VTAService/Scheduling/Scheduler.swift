/// Decides which request runs next and on which device. A value without clock, threads or randomness: times are passed
/// in, in nanoseconds since any moment, so that a test can play days of it.
///
/// Users share the devices by time: the one who has had the least is next, whatever the others have waiting. A user's
/// own requests go by priority, then by age. Someone who was away gets no time afterwards for the time that was not
/// used, but keeps what was used ahead.
struct Scheduler<User: Hashable & Sendable>: Sendable {
  typealias Time = UInt64

  struct Limits: Sendable, Equatable {
    /// Requests that wait, of all users.
    var waiting: Int
    /// Requests of one user that wait or run.
    var perUser: Int
    /// Memory that the inputs of all waiting requests take.
    var bytes: Int
  }

  struct Request: Sendable, Equatable {
    let id: UInt64
    let user: User
    /// Lower is sooner, among the requests of one user.
    var priority: UInt64 = 0
    /// After which it must not be started any more.
    var deadline: Time?
    /// How long it will probably run.
    var cost: Time = 1
    /// Numbers of the devices that can run it.
    let devices: [Int]
    var bytes = 0
  }

  enum Refusal: Error, Equatable {
    case waiting(limit: Int)
    case perUser(limit: Int)
    case bytes(limit: Int)
    /// No device that could run it is in order.
    case noDevice
  }

  enum Action: Equatable, Sendable {
    case start(UInt64, device: Int)
    case expire(UInt64)
    /// The last device that could run it is out of order.
    case abandon(UInt64)
  }

  private struct Account {
    /// Device time that the user has had, moved forward to the clock when the user comes back.
    var time: Time
    /// By priority, then in the order of arrival.
    var waiting: [Request] = []
    var running = 0

    var isIdle: Bool { waiting.isEmpty && running == 0 }
  }

  private struct Run {
    let user: User
    let device: Int
    let charged: Time
  }

  var limits: Limits
  /// Requests that each device may have at the same time.
  private let slots: Int
  private var free: [Int]
  private var inOrder: [Bool]
  private var accounts: [User: Account] = [:]
  private var runs: [UInt64: Run] = [:]
  private var owners: [UInt64: User] = [:]
  /// What the user who was served last had had then.
  private var clock: Time = 0
  private(set) var waitingCount = 0
  private(set) var waitingBytes = 0

  init(devices: Int, slots: Int, limits: Limits) {
    self.slots = slots
    self.limits = limits
    free = Array(repeating: slots, count: devices)
    inOrder = Array(repeating: true, count: devices)
  }

  var runningCount: Int { runs.count }
  /// Users that something is remembered of.
  var userCount: Int { accounts.count }

  /// Lets a request wait. ``dispatch(at:)`` tells when it runs.
  mutating func admit(_ request: Request) throws(Refusal) {
    guard request.devices.contains(where: { inOrder[$0] }) else { throw .noDevice }
    var account = accounts[request.user] ?? Account(time: clock)
    guard account.waiting.count + account.running < limits.perUser else {
      throw .perUser(limit: limits.perUser)
    }
    guard waitingCount < limits.waiting else { throw .waiting(limit: limits.waiting) }
    guard request.bytes <= limits.bytes - waitingBytes || waitingCount == 0 else {
      throw .bytes(limit: limits.bytes)
    }
    if account.isIdle { account.time = max(account.time, clock) }
    let place = account.waiting.firstIndex { $0.priority > request.priority } ?? account.waiting.endIndex
    account.waiting.insert(request, at: place)
    accounts[request.user] = account
    owners[request.id] = request.user
    waitingCount += 1
    waitingBytes += request.bytes
  }

  /// What is to be done now. Call it after everything that changes something, and when a deadline has passed.
  mutating func dispatch(at now: Time) -> [Action] {
    var actions: [Action] = []
    dropUnfit(at: now, &actions)
    while let (user, index, device) = choice() {
      guard let request = take(user, index) else { break }
      free[device] -= 1
      accounts[user]?.running += 1
      clock = max(clock, accounts[user]?.time ?? clock)
      accounts[user]?.time += request.cost
      runs[request.id] = Run(user: user, device: device, charged: request.cost)
      actions.append(.start(request.id, device: device))
    }
    return actions
  }

  /// - Returns: Whether it was waiting; one that runs goes on until ``finish(_:took:)``.
  mutating func cancel(_ id: UInt64) -> Bool {
    guard runs[id] == nil, let user = owners[id],
      let index = accounts[user]?.waiting.firstIndex(where: { $0.id == id })
    else { return false }
    _ = take(user, index)
    owners[id] = nil
    forget(user)
    return true
  }

  /// - Parameter took: How long it held the device.
  mutating func finish(_ id: UInt64, took: Time) {
    guard let run = runs.removeValue(forKey: id) else { return }
    owners[id] = nil
    free[run.device] += 1
    guard var account = accounts[run.user] else { return }
    account.running -= 1
    // What it was charged at the start was a guess.
    account.time = account.time &+ took
    account.time -= min(account.time, run.charged)
    accounts[run.user] = account
    forget(run.user)
  }

  /// - Parameter isInOrder: Whether the device may get requests.
  mutating func set(device: Int, inOrder isInOrder: Bool) { inOrder[device] = isInOrder }

  /// The user who has had the least, with a request that a device has room for.
  private func choice() -> (User, Int, Int)? {
    guard zip(free, inOrder).contains(where: { $0 > 0 && $1 }) else { return nil }
    var best: (time: Time, age: UInt64, user: User, index: Int, device: Int)?
    for (user, account) in accounts where !account.waiting.isEmpty {
      if let best, (account.time, account.waiting[0].id) >= (best.time, best.age) { continue }
      for (index, request) in account.waiting.enumerated() {
        guard let device = roomiest(of: request.devices) else { continue }
        best = (account.time, account.waiting[0].id, user, index, device)
        break
      }
    }
    return best.map { ($0.user, $0.index, $0.device) }
  }

  private func roomiest(of devices: [Int]) -> Int? {
    var best: Int?
    for device in devices where inOrder[device] && free[device] > 0 {
      if free[device] > (best.map { free[$0] } ?? 0) { best = device }
    }
    return best
  }

  private mutating func dropUnfit(at now: Time, _ actions: inout [Action]) {
    for user in Array(accounts.keys) {
      while let index = accounts[user]?.waiting.firstIndex(where: { isUnfit($0, at: now) }),
        let request = take(user, index)
      {
        owners[request.id] = nil
        let isLate = request.deadline.map { $0 <= now } ?? false
        actions.append(isLate ? .expire(request.id) : .abandon(request.id))
      }
      forget(user)
    }
  }

  private func isUnfit(_ request: Request, at now: Time) -> Bool {
    if let deadline = request.deadline, deadline <= now { return true }
    return !request.devices.contains { inOrder[$0] }
  }

  private mutating func take(_ user: User, _ index: Int) -> Request? {
    guard let request = accounts[user]?.waiting.remove(at: index) else { return nil }
    waitingCount -= 1
    waitingBytes -= request.bytes
    return request
  }

  /// Nothing is kept of a user without requests who has had no more than the others.
  private mutating func forget(_ user: User) {
    guard let account = accounts[user], account.isIdle else { return }
    if runs.isEmpty, waitingCount == 0 {
      // Nobody is there to compare with.
      accounts.removeAll()
    } else if account.time <= clock {
      accounts[user] = nil
    }
  }
}
