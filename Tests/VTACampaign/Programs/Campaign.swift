private import Dispatch
private import Synchronization

/// Mutants of many programs, judged on all cores, counted by kind.
package struct Campaign {
  package struct Count: Sendable {
    package var mutants = 0
    package var refused = 0
    package var harmless = 0
    package var harmlessInFewOrders = 0
    package var harmful: [String] = []

    package init() {}

    package static func + (left: Count, right: Count) -> Count {
      var sum = left
      sum.mutants += right.mutants
      sum.refused += right.refused
      sum.harmless += right.harmless
      sum.harmlessInFewOrders += right.harmlessInFewOrders
      sum.harmful += right.harmful
      return sum
    }
  }

  package struct Sample: Sendable {
    package let mutant: Mutant
    package let isAccepted: Bool
  }

  package var judge: Judge
  /// Mutants per program and kind.
  package var limit: Int
  package var seed: UInt64

  package init(judge: Judge, limit: Int, seed: UInt64) {
    self.judge = judge
    self.limit = limit
    self.seed = seed
  }

  /// - Parameter heard: gets each judged mutant, from any thread.
  package func run(
    _ program: MachineProgram, heard: @escaping @Sendable (Sample) -> Void = { _ in }
  ) throws -> [String: Count] {
    var mutations = try Mutations(program, seed: seed)
    let mutants = mutations.mutants(limit: limit)
    let counts = Mutex<[String: Count]>([:])
    let judge = judge
    DispatchQueue.concurrentPerform(iterations: mutants.count) { index in
      let mutant = mutants[index]
      let verdict: Verdict
      do {
        verdict = try judge.verdict(mutant.program)
      } catch {
        verdict = .harmful("it can't be judged: \(error)")
      }
      counts.withLock { Self.add(verdict, of: mutant, to: &$0[mutant.kind, default: Count()]) }
      switch verdict {
      case .refused: heard(Sample(mutant: mutant, isAccepted: false))
      case .harmless, .harmful: heard(Sample(mutant: mutant, isAccepted: true))
      // Another judge would take too long over it.
      case .harmlessInFewOrders: break
      }
    }
    return counts.withLock { $0 }
  }

  private static func add(_ verdict: Verdict, of mutant: Mutant, to count: inout Count) {
    count.mutants += 1
    switch verdict {
    case .refused: count.refused += 1
    case .harmless: count.harmless += 1
    case .harmlessInFewOrders: count.harmlessInFewOrders += 1
    case .harmful(let reason): count.harmful.append("\(mutant.what): \(reason)")
    }
  }
}
