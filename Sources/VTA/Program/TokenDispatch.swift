/// Instruction queues of the three modules and the four token counters between neighbours
/// (reference/vta-hardware.md, section 4): what may execute next, without saying what execution does.
package struct TokenDispatch: Sendable {
  package let instructions: [Instruction]
  private var queues: [[Int]] = [[], [], []]
  private var heads = [0, 0, 0]
  /// Tokens from module `i` to its next (`forward[i]`) and from the next back to it (`backward[i]`).
  private var forward = [0, 0]
  private var backward = [0, 0]
  /// Most tokens that any queue held at once.
  package private(set) var tokensMax = 0

  package init(_ instructions: [Instruction]) {
    self.instructions = instructions
    for (index, instruction) in instructions.enumerated() {
      queues[instruction.module.rawValue].append(index)
    }
  }

  /// Takes the tokens of the module's next instruction, if they are all there, and returns its index.
  package mutating func takeReady(_ module: ExecutionModule) -> Int? {
    let m = module.rawValue
    guard heads[m] < queues[m].count else { return nil }
    let index = queues[m][heads[m]]
    let flags = instructions[index].flags
    // Flags towards a neighbour that does not exist have no queue; hardware ignores them.
    let popsPrevious = flags.contains(.popPrev) && m > 0
    let popsNext = flags.contains(.popNext) && m < 2
    if popsPrevious && forward[m - 1] == 0 { return nil }
    if popsNext && backward[m] == 0 { return nil }
    if popsPrevious { forward[m - 1] -= 1 }
    if popsNext { backward[m] -= 1 }
    heads[m] += 1
    return index
  }

  /// Gives the tokens of an executed instruction.
  package mutating func complete(_ index: Int) {
    let m = instructions[index].module.rawValue
    let flags = instructions[index].flags
    if flags.contains(.pushPrev) && m > 0 {
      backward[m - 1] += 1
      tokensMax = max(tokensMax, backward[m - 1])
    }
    if flags.contains(.pushNext) && m < 2 {
      forward[m] += 1
      tokensMax = max(tokensMax, forward[m])
    }
  }

  /// The instruction that each unfinished queue stands at.
  package var waiting: [Int] {
    (0..<3).compactMap { heads[$0] < queues[$0].count ? queues[$0][heads[$0]] : nil }
  }

  /// Tokens left over, by queue: a program that is run again would start with them.
  package var leftover: [(from: ExecutionModule, to: ExecutionModule, count: Int)] {
    [
      (.load, .compute, forward[0]), (.compute, .store, forward[1]), (.compute, .load, backward[0]),
      (.store, .compute, backward[1]),
    ].filter { $0.2 > 0 }
  }
}
