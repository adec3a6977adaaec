private import Foundation
private import Synchronization

/// Ctrl-C (and SIGTERM) as a question instead of an end, for work that must leave hardware in order. The second one ends the
/// program as usual.
enum Interruption {
  private static let wasAsked = Atomic<Bool>(false)
  private static let signals = [SIGINT, SIGTERM]

  static var isWanted: Bool { wasAsked.load(ordering: .relaxed) }

  static func isHeld<Value>(during body: () throws -> Value) rethrows -> Value {
    wasAsked.store(false, ordering: .relaxed)
    for number in signals {
      signal(number) { number in
        Interruption.wasAsked.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
    defer { for number in signals { signal(number, SIG_DFL) } }
    return try body()
  }
}
