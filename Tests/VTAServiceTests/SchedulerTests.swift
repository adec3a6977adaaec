import Testing
import VTA

@testable import VTAService

/// Plays thousands of virtual seconds of users, models, devices and failures on the scheduler, and holds what it says
/// against a plain record of what was asked.
@Suite struct SchedulerTests {
  private static let second: UInt64 = 1_000_000_000

  @Test(arguments: UInt64(0)..<24)
  func anyTraffic(seed: UInt64) {
    var world = World(seed: seed)
    world.play(until: 2_000 * Self.second)
    #expect(world.problems.isEmpty, "seed \(seed): \(world.problems.prefix(3))")
    // Otherwise the seed proved nothing.
    #expect(world.started > 300, "seed \(seed)")
  }

  /// Two users who always have something waiting get the same time, however long their requests are.
  @Test(arguments: [(1, 1), (1, 10), (7, 300)])
  func sharesAreEqual(_ costs: (first: UInt64, second: UInt64)) {
    var scheduler = Scheduler<String>(
      devices: 1, slots: 1, limits: .init(waiting: 1000, perUser: 100, bytes: 1000))
    let cost = ["a": costs.first, "b": costs.second]
    var time: [String: UInt64] = [:]
    var owner: [UInt64: String] = [:]
    var id: UInt64 = 0
    var now: UInt64 = 0
    func refill(_ scheduler: inout Scheduler<String>, _ user: String) {
      id += 1
      owner[id] = user
      // The guess is wrong by a lot; what counts is what it took.
      #expect(throws: Never.self) {
        try scheduler.admit(.init(id: id, user: user, cost: 5, devices: [0]))
      }
    }
    for user in ["a", "a", "a", "b", "b", "b"] { refill(&scheduler, user) }
    for _ in 0..<5_000 {
      for case .start(let id, _) in scheduler.dispatch(at: now) {
        guard let user = owner[id], let took = cost[user] else { continue }
        now += took
        time[user, default: 0] += took
        scheduler.finish(id, took: took)
        refill(&scheduler, user)
      }
    }
    let (a, b) = (time["a"] ?? 0, time["b"] ?? 0)
    #expect(max(a, b) - min(a, b) <= 2 * (costs.first + costs.second + 5), "\(a) and \(b)")
  }

  /// Whoever floods the queue waits in it; somebody else's single request is next.
  @Test func floodDelaysItsUserAlone() throws {
    var scheduler = Scheduler<String>(
      devices: 1, slots: 1, limits: .init(waiting: 1000, perUser: 500, bytes: 1000))
    for id in 1...500 { try scheduler.admit(.init(id: UInt64(id), user: "flood", cost: 10, devices: [0])) }
    #expect(scheduler.dispatch(at: 0) == [.start(1, device: 0)])
    #expect(throws: Scheduler<String>.Refusal.perUser(limit: 500)) {
      try scheduler.admit(.init(id: 501, user: "flood", devices: [0]))
    }
    try scheduler.admit(.init(id: 1000, user: "other", cost: 10, devices: [0]))
    scheduler.finish(1, took: 10)
    #expect(scheduler.dispatch(at: 10) == [.start(1000, device: 0)])
  }

  @Test func priorityIsAmongOnesOwn() throws {
    var scheduler = Scheduler<String>(
      devices: 1, slots: 1, limits: .init(waiting: 10, perUser: 10, bytes: 10))
    try scheduler.admit(.init(id: 1, user: "a", devices: [0]))
    #expect(scheduler.dispatch(at: 0) == [.start(1, device: 0)])
    for (id, priority) in [(2, 5), (3, 1), (4, 5), (5, 1)] {
      try scheduler.admit(.init(id: UInt64(id), user: "a", priority: UInt64(priority), devices: [0]))
    }
    var order: [UInt64] = []
    var running: UInt64 = 1
    for now in 1...4 {
      scheduler.finish(running, took: 1)
      for case .start(let id, _) in scheduler.dispatch(at: UInt64(now)) {
        order.append(id)
        running = id
      }
    }
    #expect(order == [3, 5, 2, 4])
  }

  @Test func limitsHold() throws {
    var scheduler = Scheduler<String>(devices: 1, slots: 1, limits: .init(waiting: 2, perUser: 9, bytes: 100))
    try scheduler.admit(.init(id: 1, user: "a", devices: [0], bytes: 1000))
    #expect(throws: Scheduler<String>.Refusal.bytes(limit: 100)) {
      try scheduler.admit(.init(id: 2, user: "a", devices: [0], bytes: 1))
    }
    // One request alone may be as large as it is.
    #expect(scheduler.dispatch(at: 0) == [.start(1, device: 0)])
    try scheduler.admit(.init(id: 2, user: "a", devices: [0], bytes: 60))
    try scheduler.admit(.init(id: 3, user: "b", devices: [0], bytes: 40))
    #expect(throws: Scheduler<String>.Refusal.waiting(limit: 2)) {
      try scheduler.admit(.init(id: 4, user: "c", devices: [0]))
    }
    let isWaiting = scheduler.cancel(3)
    #expect(isWaiting && scheduler.waitingBytes == 60)
    scheduler.set(device: 0, inOrder: false)
    #expect(throws: Scheduler<String>.Refusal.noDevice) {
      try scheduler.admit(.init(id: 4, user: "c", devices: [0]))
    }
    #expect(scheduler.dispatch(at: 5) == [.abandon(2)])
  }
}

/// Random traffic, and what the record says must hold at every moment.
private struct World {
  typealias Request = Scheduler<Int>.Request

  private enum Event {
    case arrival
    case end(UInt64)
    case cancellation
    case deadline
    case device(Int)
  }

  private struct Running {
    let request: Request
    let device: Int
    let since: UInt64
  }

  var problems: [String] = []
  var started = 0

  private var random: SeededGenerator
  private var scheduler: Scheduler<Int>
  private let limits: Scheduler<Int>.Limits
  private let devices: Int
  private let slots: Int
  private let users: Int
  private var events: [(time: UInt64, event: Event)] = []
  private var now: UInt64 = 0
  private var nextID: UInt64 = 0
  // The record.
  private var waiting: [UInt64: Request] = [:]
  private var running: [UInt64: Running] = [:]
  private var inOrder: [Bool]

  init(seed: UInt64) {
    random = SeededGenerator(seed: seed)
    devices = Int.random(in: 1...4, using: &random)
    slots = Int.random(in: 1...2, using: &random)
    users = Int.random(in: 1...6, using: &random)
    limits = .init(
      waiting: Int.random(in: 1...60, using: &random), perUser: Int.random(in: 1...30, using: &random),
      bytes: Int.random(in: 1...10_000, using: &random))
    scheduler = Scheduler(devices: devices, slots: slots, limits: limits)
    inOrder = Array(repeating: true, count: devices)
    events = [(0, .arrival), (1, .cancellation)] + (0..<devices).map { (2, .device($0)) }
  }

  mutating func play(until end: UInt64) {
    while problems.isEmpty, let index = events.indices.min(by: { events[$0].time < events[$1].time }) {
      let (time, event) = events.remove(at: index)
      if time > end { break }
      now = time
      happen(event)
      act()
      check()
    }
  }

  private mutating func later(_ seconds: ClosedRange<Double>) -> UInt64 {
    now + UInt64(Double.random(in: seconds, using: &random) * 1e9)
  }

  private mutating func happen(_ event: Event) {
    switch event {
    case .arrival:
      arrive()
      // Sometimes quiet, sometimes a burst.
      let isBurst = Int.random(in: 0..<4, using: &random) > 0
      events.append((later(isBurst ? 0.01...0.3 : 1...8), .arrival))
    case .end(let id):
      guard let run = running.removeValue(forKey: id) else { return }
      scheduler.finish(id, took: now - run.since)
    case .cancellation:
      if let id = (Array(waiting.keys) + Array(running.keys)).sorted().randomElement(using: &random) {
        let wasWaiting = scheduler.cancel(id)
        if wasWaiting != (waiting[id] != nil) { problems.append("\(now): cancel \(id) says \(wasWaiting)") }
        waiting[id] = nil
      }
      events.append((later(0.5...5), .cancellation))
    case .deadline: break
    case .device(let device):
      inOrder[device] = Int.random(in: 0..<4, using: &random) > 0
      scheduler.set(device: device, inOrder: inOrder[device])
      events.append((later(1...60), .device(device)))
    }
  }

  private mutating func arrive() {
    nextID += 1
    let possible = (0..<devices).filter { _ in Bool.random(using: &random) }
    let wantsDeadline = Int.random(in: 0..<3, using: &random) == 0
    let deadline = wantsDeadline ? later(0...10) : nil
    let request = Request(
      id: nextID, user: Int.random(in: 0..<users, using: &random),
      priority: UInt64.random(in: 0..<3, using: &random), deadline: deadline,
      cost: UInt64.random(in: 1...1_000_000_000, using: &random),
      devices: possible.isEmpty ? [Int.random(in: 0..<devices, using: &random)] : possible,
      bytes: Int.random(in: 0...500, using: &random))
    if let deadline { events.append((deadline, .deadline)) }
    let held =
      waiting.values.count { $0.user == request.user }
      + running.values.count { $0.request.user == request.user }
    let isFull =
      waiting.count >= limits.waiting || held >= limits.perUser
      || (waiting.values.reduce(0) { $0 + $1.bytes } + request.bytes > limits.bytes && !waiting.isEmpty)
    let isServable = request.devices.contains { inOrder[$0] }
    do throws(Scheduler<Int>.Refusal) {
      try scheduler.admit(request)
      if isFull || !isServable { problems.append("\(now): \(nextID) was let in") }
      waiting[request.id] = request
    } catch {
      if !isFull && isServable { problems.append("\(now): \(nextID) was refused: \(error)") }
    }
  }

  private mutating func act() {
    for action in scheduler.dispatch(at: now) {
      switch action {
      case .start(let id, let device):
        guard let request = waiting.removeValue(forKey: id) else {
          problems.append("\(now): \(id) starts without waiting")
          continue
        }
        if let deadline = request.deadline, deadline <= now { problems.append("\(now): \(id) starts late") }
        if !request.devices.contains(device) || !inOrder[device] {
          problems.append("\(now): \(id) starts on device \(device)")
        }
        let isOvertaking = waiting.values.contains {
          $0.user == request.user && $0.devices.contains(device)
            && ($0.priority, $0.id) < (request.priority, request.id)
        }
        if isOvertaking { problems.append("\(now): \(id) overtakes one of its user") }
        running[id] = Running(request: request, device: device, since: now)
        started += 1
        events.append((later(0.001...1.5), .end(id)))
      case .expire(let id):
        guard let request = waiting.removeValue(forKey: id), let deadline = request.deadline, deadline <= now
        else {
          problems.append("\(now): \(id) expires")
          continue
        }
      case .abandon(let id):
        guard let request = waiting.removeValue(forKey: id), !request.devices.contains(where: { inOrder[$0] })
        else {
          problems.append("\(now): \(id) is abandoned")
          continue
        }
      }
    }
  }

  private mutating func check() {
    for device in 0..<devices {
      let count = running.values.count { $0.device == device }
      if count > slots { problems.append("\(now): device \(device) has \(count)") }
      // No device has room while somebody waits for it.
      if count < slots, inOrder[device], waiting.values.contains(where: { $0.devices.contains(device) }) {
        problems.append("\(now): device \(device) is idle")
      }
    }
    if waiting.values.contains(where: { ($0.deadline ?? .max) <= now }) {
      problems.append("\(now): somebody waits beyond the deadline")
    }
    if scheduler.waitingCount != waiting.count || scheduler.runningCount != running.count {
      problems.append("\(now): the counts differ")
    }
    if scheduler.waitingBytes != waiting.values.reduce(0, { $0 + $1.bytes }) {
      problems.append("\(now): the bytes differ")
    }
    if waiting.isEmpty, running.isEmpty, scheduler.userCount != 0 {
      problems.append("\(now): idle users are remembered")
    }
  }
}
