/// In which order modules execute what their tokens allow. A correct program gives the same memory under all of them.
package enum Schedule: Hashable, Sendable {
  /// Each module as far as it gets, load first.
  case inOrder
  /// A random legal interleaving; equal seeds give equal ones.
  case seeded(UInt64)
}

/// Picks one of the modules that are ready.
struct ModulePicker {
  private var generator: SeededGenerator?
  /// Odds per module; uneven ones let a module run far ahead or lag far behind.
  private var odds: [UInt64] = [1, 1, 1]
  private var current = ExecutionModule.load

  init(_ schedule: Schedule) {
    guard case .seeded(let seed) = schedule else { return }
    var generator = SeededGenerator(seed: seed)
    odds = (0..<3).map { _ in [1, 4, 64].randomElement(using: &generator) ?? 1 }
    self.generator = generator
  }

  mutating func next(_ dispatch: TokenDispatch) -> ExecutionModule? {
    if generator == nil {
      if dispatch.isReady(current) { return current }
      guard let ready = ExecutionModule.allCases.first(where: dispatch.isReady) else { return nil }
      current = ready
      return ready
    }
    let ready = ExecutionModule.allCases.filter(dispatch.isReady)
    let total = ready.reduce(0) { $0 + odds[$1.rawValue] }
    guard total > 0, var ticket = generator?.next(upperBound: total) else { return nil }
    for module in ready {
      if ticket < odds[module.rawValue] { return module }
      ticket -= odds[module.rawValue]
    }
    return nil
  }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same on every machine.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
