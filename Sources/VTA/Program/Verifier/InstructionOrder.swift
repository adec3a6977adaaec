/// What tokens say about the order of instructions: before an instruction starts, so many of each module have ended.
///
/// Within a module instructions execute in order; between neighbours the k-th pop takes the k-th push. So each
/// instruction has one vector clock that holds under every schedule. Linear in instructions.
struct InstructionOrder {
  /// Instructions of load, compute and store.
  typealias Clock = SIMD4<Int32>

  /// Clocks by instruction; zeros where the program deadlocks before it.
  let clocks: [Clock]
  /// A legal order of execution, up to a deadlock.
  let execution: [Int]
  /// Position of each instruction within its module.
  let positions: [Int32]
  let dispatch: TokenDispatch

  init(_ instructions: [Instruction], profile: HardwareProfile) {
    var dispatch = TokenDispatch(instructions, profile: profile)
    var positions = [Int32](repeating: 0, count: instructions.count)
    for stream in dispatch.streams {
      for (position, index) in stream.enumerated() { positions[index] = Int32(position) }
    }
    var clocks = [Clock](repeating: .zero, count: instructions.count)
    var execution: [Int] = []
    execution.reserveCapacity(instructions.count)
    var ends = [Clock](repeating: .zero, count: 3)
    var queues = TokenClocks()
    var picker = ModulePicker(.inOrder)
    let isSequential = profile.dispatch == .sequential
    while let module = picker.next(dispatch), let index = dispatch.takeReady(module) {
      let m = module.rawValue
      var clock = isSequential ? ends.reduce(.zero) { pointwiseMax($0, $1) } : ends[m]
      if !isSequential {
        let flags = instructions[index].flags
        if flags.contains(.popPrev), m > 0 { clock = pointwiseMax(clock, queues.pop(m - 1, to: m)) }
        if flags.contains(.popNext), m < 2 { clock = pointwiseMax(clock, queues.pop(m + 1, to: m)) }
      }
      clocks[index] = clock
      clock[m] = positions[index] + 1
      ends[m] = clock
      // Pushed at completion; where the queue is full the token only comes later.
      if !isSequential {
        let flags = instructions[index].flags
        if flags.contains(.pushPrev), m > 0 { queues.push(clock, m, to: m - 1) }
        if flags.contains(.pushNext), m < 2 { queues.push(clock, m, to: m + 1) }
      }
      execution.append(index)
      dispatch.complete(index)
    }
    self.clocks = clocks
    self.execution = execution
    self.positions = positions
    self.dispatch = dispatch
  }

  /// Whether `first` has ended before `second` starts, under every schedule.
  func isOrdered(module: ExecutionModule, position: Int32, before second: Int) -> Bool {
    clocks[second][module.rawValue] > position
  }

  /// Most tokens that wait in any queue, over all schedules: when the k-th push happens, only those pops are certain
  /// that its producer waits for.
  func tokensMax(_ instructions: [Instruction]) -> Int {
    var most = 0
    for (producer, consumer) in [(0, 1), (1, 0), (1, 2), (2, 1)] {
      let forward = producer < consumer
      let push: DependenceFlags = forward ? .pushNext : .pushPrev
      let pop: DependenceFlags = forward ? .popPrev : .popNext
      var popsBefore: [Int] = [0]
      popsBefore.reserveCapacity(dispatch.streams[consumer].count + 1)
      for index in dispatch.streams[consumer] {
        popsBefore.append((popsBefore.last ?? 0) + (instructions[index].flags.contains(pop) ? 1 : 0))
      }
      var pushes = 0
      for index in dispatch.streams[producer] where instructions[index].flags.contains(push) {
        pushes += 1
        most = max(most, pushes - popsBefore[Int(clocks[index][consumer])])
      }
    }
    return most
  }
}

/// Clocks of the tokens in the four queues.
private struct TokenClocks {
  private var clocks: [[InstructionOrder.Clock]] = Array(repeating: [], count: 9)
  private var heads = Array(repeating: 0, count: 9)

  mutating func push(_ clock: InstructionOrder.Clock, _ from: Int, to: Int) {
    clocks[from * 3 + to].append(clock)
  }

  /// - Precondition: ``TokenDispatch`` has a token in that queue.
  mutating func pop(_ from: Int, to: Int) -> InstructionOrder.Clock {
    let queue = from * 3 + to
    guard heads[queue] < clocks[queue].count else { return .zero }
    defer { heads[queue] += 1 }
    return clocks[queue][heads[queue]]
  }
}
