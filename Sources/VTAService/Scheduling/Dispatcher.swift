internal import Synchronization
internal import VTAModule
internal import VTARuntime

/// Runs requests on the devices, in the scheduler's order.
final class Dispatcher: Sendable {
  typealias User = Caller.User

  /// Requests that a device has at the same time: one that runs, one that starts when it ends, and one whose inputs or
  /// outputs the host is busy with meanwhile.
  static let slots = 3
  /// What a thread that has other work may spend on a run: about what changing the thread twice takes.
  static let briefRun = Duration.microseconds(100)

  /// What is asked for.
  struct Job: Sendable {
    let model: ModelInstances
    let inputs: [String: Tensor]
    let user: User
    var priority: UInt64 = 0
    /// From now, waiting included; `nil`: none.
    var deadline: Duration?
    /// How long it will probably run.
    var cost: Duration
    var wantsProfile = false
  }

  /// What a request takes of the devices, whatever it does there.
  struct Turn: Sendable {
    /// Numbers of those that can do it.
    let devices: [Int]
    let user: User
    var priority: UInt64 = 0
    /// From now, waiting included; `nil`: none.
    var deadline: Duration?
    /// How long it will probably take.
    var cost: Duration
    /// Memory that it holds while it waits.
    var bytes: Int
  }

  /// When a request that was let in learns that it runs, or that it never will.
  private enum Waiter {
    /// Nobody waits for the answer yet.
    case early(Result<Int, any Error>)
    case waiting(CheckedContinuation<Int, any Error>)
  }

  private struct State {
    var scheduler: Scheduler<User>
    var nextID: UInt64 = 0
    var waiters: [UInt64: Waiter] = [:]
    /// Until when each run should be over, if it has a deadline, and its device.
    var runs: [UInt64: (device: Int, deadline: UInt64?)] = [:]
    /// Get no more requests.
    var drained: Set<Int> = []
    /// Where each request that was let in may still run.
    var places: [UInt64: [Int]] = [:]
  }

  let devices: [DeviceWorker]
  private let state: Mutex<State>
  private let start = ContinuousClock.now

  init(devices: [DeviceWorker], limits: Scheduler<User>.Limits) {
    self.devices = devices
    state = Mutex(State(scheduler: Scheduler(devices: devices.count, slots: Self.slots, limits: limits)))
  }

  var limits: Scheduler<User>.Limits {
    get { state.withLock { $0.scheduler.limits } }
    set { state.withLock { $0.scheduler.limits = newValue } }
  }

  /// Requests that wait, and that run.
  var load: (waiting: Int, running: Int) {
    state.withLock { ($0.scheduler.waitingCount, $0.scheduler.runningCount) }
  }

  /// Devices with a run that should have been over for longer than `grace`.
  func stuckDevices(grace: Duration) -> [String] {
    let limit = now
    let numbers = state.withLock { state in
      Set(
        state.runs.values.filter { ($0.deadline ?? .max) < limit &- min(limit, grace.nanoseconds) }.map(
          \.device))
    }
    return numbers.sorted().map { devices[$0].description.name }
  }

  /// - Returns: What the run gave, with the whole time that it waited.
  /// - Throws: ``ServiceError`` if it is refused or its time is over; what the device throws.
  func run(_ job: Job) async throws -> RunResult {
    let turn = Turn(
      devices: job.model.byDevice.keys.sorted(), user: job.user, priority: job.priority,
      deadline: job.deadline, cost: job.cost, bytes: job.inputs.values.reduce(0) { $0 + $1.bytes.count })
    return try await take(turn, cost: { $0.timings.device + $0.timings.host }) { device, deadline, waited in
      guard let model = job.model.byDevice[device] else {
        throw ServiceError(.internal, "the model was sent to a device that doesn't have it")
      }
      var result = try await devices[device].run(
        model, inputs: job.inputs, deadline: deadline, wantsProfile: job.wantsProfile,
        isBrief: job.cost <= Self.briefRun)
      result.timings.queue += waited
      return result
    }
  }

  /// - Parameters:
  ///   - cost: What it took of the device; `nil`: all the time since its turn.
  ///   - body: Gets the number of a device, what is left until the deadline, and the time that it waited.
  /// - Throws: ``ServiceError`` if it is refused or its time is over; what `body` throws.
  func take<Answer>(
    _ turn: Turn, cost: (Answer) -> Duration? = { _ in nil },
    _ body: (Int, Duration?, Duration) async throws -> Answer
  ) async throws -> Answer {
    let admitted = now
    let id = try admit(turn, at: admitted)
    let deadline = turn.deadline.map { admitted &+ $0.nanoseconds }
    let device = try await self.turn(of: id, deadline: deadline)
    let started = now
    let waited = Duration.nanoseconds(Int64(clamping: started - admitted))
    state.withLock { $0.runs[id] = (device, deadline) }
    // The user pays for what was run, not for those who had the device before.
    var took: Duration?
    defer { finish(id, took: took?.nanoseconds ?? now - started) }
    let answer = try await body(device, turn.deadline.map { max(.zero, $0 - waited) }, waited)
    took = cost(answer)
    return answer
  }

  private var now: UInt64 { (ContinuousClock.now - start).nanoseconds }

  private func admit(_ turn: Turn, at now: UInt64) throws -> UInt64 {
    let result = state.withLock { state -> Result<UInt64, Scheduler<User>.Refusal>? in
      let devices = turn.devices.filter { !state.drained.contains($0) }
      if devices.isEmpty { return nil }
      for (number, device) in self.devices.enumerated() {
        state.scheduler.set(device: number, inOrder: device.description.isServing)
      }
      state.nextID += 1
      let request = Scheduler<User>.Request(
        id: state.nextID, user: turn.user, priority: turn.priority,
        deadline: turn.deadline.map { now &+ $0.nanoseconds }, cost: max(1, turn.cost.nanoseconds),
        devices: devices, bytes: turn.bytes)
      do throws(Scheduler<User>.Refusal) {
        try state.scheduler.admit(request)
      } catch {
        return .failure(error)
      }
      state.places[request.id] = devices
      return .success(request.id)
    }
    switch result {
    case .success(let id):
      dispatch()
      return id
    case .failure(let refusal): throw ServiceError(refusal, user: turn.user)
    case nil:
      throw ServiceError(
        .unavailable, "the device is drained: it takes no requests until an administrator undrains it")
    }
  }

  /// Waits until a device has room.
  private func turn(of id: UInt64, deadline: UInt64?) async throws -> Int {
    // Mostly it runs at once.
    let immediate = state.withLock { state -> Result<Int, any Error>? in
      guard case .early(let result)? = state.waiters.removeValue(forKey: id) else { return nil }
      return result
    }
    if let immediate { return try immediate.get() }
    let alarm = deadline.map { deadline in
      Task { [self] in
        try await Task.sleep(until: start + .nanoseconds(Int64(clamping: deadline)), clock: .continuous)
        dispatch()
      }
    }
    defer { alarm?.cancel() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        let early = state.withLock { state -> Result<Int, any Error>? in
          if case .early(let result)? = state.waiters.removeValue(forKey: id) {
            return result
          }
          state.waiters[id] = .waiting(continuation)
          return nil
        }
        if let early { continuation.resume(with: early) }
      }
    } onCancel: {
      cancel(id)
    }
  }

  private func cancel(_ id: UInt64) {
    let wasWaiting = state.withLock { $0.scheduler.cancel(id) }
    if wasWaiting { settle(id, .failure(CancellationError())) }
  }

  private func finish(_ id: UInt64, took: UInt64) {
    state.withLock {
      $0.runs[id] = nil
      $0.places[id] = nil
      $0.scheduler.finish(id, took: took)
    }
    dispatch()
  }

  private func dispatch() {
    let actions = state.withLock { $0.scheduler.dispatch(at: now) }
    for action in actions {
      switch action {
      case .start(let id, let device): settle(id, .success(device))
      case .expire(let id): settle(id, .failure(RuntimeError.deadlineExceeded))
      case .abandon(let id):
        settle(
          id,
          .failure(ServiceError(.unavailable, "no device that has the model is in order; see vtactl devices"))
        )
      }
    }
  }

  /// Tells a request that it runs, or that it never will.
  private func settle(_ id: UInt64, _ result: Result<Int, any Error>) {
    let continuation = state.withLock { state -> CheckedContinuation<Int, any Error>? in
      state.places[id] = (try? result.get()).map { [$0] }
      guard case .waiting(let continuation)? = state.waiters.removeValue(forKey: id) else {
        state.waiters[id] = .early(result)
        return nil
      }
      return continuation
    }
    continuation?.resume(with: result)
  }
}

// Maintenance.
extension Dispatcher {
  /// - Parameter drained: Whether the devices get no more requests. Those that were let in still run.
  func set(devices numbers: Set<Int>, drained: Bool) {
    state.withLock { state in
      if drained { state.drained.formUnion(numbers) } else { state.drained.subtract(numbers) }
    }
  }

  /// Numbers of devices that get no more requests.
  var drained: Set<Int> { state.withLock { $0.drained } }

  /// No device gets any more requests.
  var isDrained: Bool { drained.count == devices.count }

  /// Requests that run on one of these devices, or may still.
  func requests(on numbers: Set<Int>) -> Int {
    state.withLock { state in state.places.values.count { !numbers.isDisjoint(with: $0) } }
  }
}

extension ServiceError {
  fileprivate init(_ refusal: Scheduler<Caller.User>.Refusal, user: Caller.User) {
    switch refusal {
    case .waiting(let limit):
      self.init(.resourceExhausted, "\(limit) requests wait already; try again later")
    case .perUser(let limit):
      self.init(
        .resourceExhausted, "\(limit) requests of \(user) wait or run already; wait for an answer first")
    case .bytes(let limit):
      self.init(
        .resourceExhausted, "the inputs that wait fill the \(limit) bytes that they may take; try again later"
      )
    case .noDevice:
      self.init(.unavailable, "no device that has the model is in order; see vtactl devices")
    }
  }
}
