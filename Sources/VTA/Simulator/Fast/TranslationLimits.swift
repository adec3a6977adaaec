/// Sizes that a translation aims at; nobody can tell from results. Tests choose small ones, so that small programs meet what
/// large ones do.
package struct TranslationLimits: Sendable {
  /// Multiply-accumulates of one task: some microseconds, so that cores find equal shares.
  let taskMACs: Int
  /// INP elements that a core keeps at least. Small programs keep all of their inputs; in large ones, new inputs should overwrite
  /// what the cache still holds.
  let inputElements: Int
  /// How often the inputs of the largest strand fit into that, at least.
  let rounds: Int

  package static let usual = TranslationLimits(taskMACs: 3 << 20, inputElements: 1 << 11, rounds: 2)
  /// Tasks of one call each, and room for the inputs of one strand.
  package static let smallest = TranslationLimits(taskMACs: 1, inputElements: 1, rounds: 1)
}
