/// Instruction queues of the three modules and the four token queues between neighbours
/// (reference/vta-hardware.md, section 4): what may execute next under a profile, without saying what execution does.
package struct TokenDispatch: Sendable {
  package let instructions: [Instruction]
  private let isSequential: Bool
  private let capacity: Int
  private let losesTokens: Bool
  private let queueDepth: Int

  /// Instructions of each module, in order.
  package let streams: [[Int]]
  /// How many of each module have begun.
  private var heads = [0, 0, 0]
  /// Fetch works in order and waits when the queue of the next instruction is full.
  private var fetched = 0
  private var queued = [0, 0, 0]
  /// Executed instructions whose tokens found no room yet.
  private var blocked: [(index: Int, flags: DependenceFlags)?] = [nil, nil, nil]
  /// Tokens from module `i` to its next (`forward[i]`) and from the next back to it (`backward[i]`).
  private var forward = [0, 0]
  private var backward = [0, 0]
  /// Tokens that were pushed into a full queue and lost.
  package private(set) var lostTokens = 0

  package init(_ instructions: [Instruction], profile: HardwareProfile) {
    self.instructions = instructions
    var streams: [[Int]] = [[], [], []]
    for (index, instruction) in instructions.enumerated() {
      streams[instruction.module.rawValue].append(index)
    }
    self.streams = streams
    switch profile.dispatch {
    case .sequential: (isSequential, capacity, losesTokens, queueDepth) = (true, .max, false, .max)
    case .modules(let tokens, let depth):
      isSequential = false
      queueDepth = depth ?? .max
      switch tokens {
      case .unbounded: (capacity, losesTokens) = (.max, false)
      case .blocking(let most): (capacity, losesTokens) = (most, false)
      case .saturating(let most): (capacity, losesTokens) = (most, true)
      }
    }
    fetch()
  }

  private mutating func fetch() {
    while fetched < instructions.count {
      let module = instructions[fetched].module.rawValue
      guard queued[module] < queueDepth else { return }
      queued[module] += 1
      fetched += 1
    }
  }

  /// Whether ``takeReady(_:)`` would return an instruction.
  package func isReady(_ module: ExecutionModule) -> Bool {
    let m = module.rawValue
    guard queued[m] > 0, blocked[m] == nil else { return false }
    let index = streams[m][heads[m]]
    if isSequential { return index == heads[0] + heads[1] + heads[2] }
    let flags = instructions[index].flags
    // Flags towards a neighbour that does not exist have no queue; hardware ignores them.
    return !(flags.contains(.popPrev) && m > 0 && forward[m - 1] == 0)
      && !(flags.contains(.popNext) && m < 2 && backward[m] == 0)
  }

  /// Takes the module's next instruction and its tokens, if they are all there.
  package mutating func takeReady(_ module: ExecutionModule) -> Int? {
    guard isReady(module) else { return nil }
    let m = module.rawValue
    let index = streams[m][heads[m]]
    heads[m] += 1
    queued[m] -= 1
    fetch()
    if isSequential { return index }
    let flags = instructions[index].flags
    if flags.contains(.popPrev) && m > 0 {
      forward[m - 1] -= 1
      retry(m - 1)
    }
    if flags.contains(.popNext) && m < 2 {
      backward[m] -= 1
      retry(m + 1)
    }
    return index
  }

  /// Gives the tokens of an executed instruction. Where a queue is full, its module waits for room.
  package mutating func complete(_ index: Int) {
    if isSequential { return }
    push(index, instructions[index].flags.intersection([.pushPrev, .pushNext]))
  }

  private mutating func retry(_ m: Int) {
    guard let waiting = blocked[m] else { return }
    blocked[m] = nil
    push(waiting.index, waiting.flags)
  }

  private mutating func push(_ index: Int, _ flags: DependenceFlags) {
    let m = instructions[index].module.rawValue
    var left = flags
    if flags.contains(.pushPrev), m == 0 || add(to: \.backward, m - 1) { left.remove(.pushPrev) }
    if flags.contains(.pushNext), m == 2 || add(to: \.forward, m) { left.remove(.pushNext) }
    if !left.isEmpty { blocked[m] = (index, left) }
  }

  /// Whether the token is gone: counted, or lost.
  private mutating func add(to queues: WritableKeyPath<Self, [Int]>, _ queue: Int) -> Bool {
    if self[keyPath: queues][queue] < capacity {
      self[keyPath: queues][queue] += 1
      return true
    }
    if losesTokens { lostTokens += 1 }
    return losesTokens
  }

  // MARK: How it stands

  /// An instruction that cannot go on, and what it waits for.
  package struct Waiting: Hashable, Sendable {
    package enum Reason: Hashable, Sendable {
      case token
      case roomForToken
      case roomInCommandQueue
    }
    package let index: Int
    package let reason: Reason
  }

  /// One per unfinished module, and the instruction that fetch holds; empty if all have executed.
  package var waiting: [Waiting] {
    var waiting = (0..<3).compactMap { m -> Waiting? in
      if let blocked = blocked[m] { return Waiting(index: blocked.index, reason: .roomForToken) }
      return queued[m] > 0 ? Waiting(index: streams[m][heads[m]], reason: .token) : nil
    }
    if fetched < instructions.count { waiting.append(Waiting(index: fetched, reason: .roomInCommandQueue)) }
    return waiting
  }

  /// Tokens left over, by queue: a program that is run again would start with them.
  package var leftover: [(from: ExecutionModule, to: ExecutionModule, count: Int)] {
    [
      (.load, .compute, forward[0]), (.compute, .store, forward[1]), (.compute, .load, backward[0]),
      (.store, .compute, backward[1]),
    ].filter { $0.2 > 0 }
  }
}

extension TokenDispatch.Waiting.Reason: CustomStringConvertible {
  package var description: String {
    switch self {
    case .token: "waits for a token that never comes"
    case .roomForToken: "waits for room in a token queue that is never emptied"
    case .roomInCommandQueue: "waits for room in a command queue that is never emptied"
    }
  }
}
