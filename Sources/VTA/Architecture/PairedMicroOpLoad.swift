/// What a LOAD of micro-ops moves on Chisel-2020, which handles two per memory beat (reference/vta-hardware.md, section
/// 9.1, number 30; details from reading `LoadUop.scala` of March 2020, not confirmed by a recording).
///
/// Exact for loads whose addresses have the same parity, which end where a pair ends or begin where one begins, and
/// which stay within one burst. Otherwise neighbours are overwritten, the wrong half of a pair is taken, or, with one
/// beat left over after full bursts, the last pair is lost.
package enum PairedMicroOpLoad {
  package struct Move: Hashable, Sendable {
    /// Index in the micro-op scratchpad.
    package let to: Int
    /// Element of DRAM.
    package let from: Int
  }

  /// - Parameters:
  ///   - count: `x_size`, at least 1.
  ///   - beatsPerBurst: longest burst of the memory port, in beats of two micro-ops.
  package static func moves(sramBase: Int, dramBase: Int, count: Int, beatsPerBurst: Int) -> [Move] {
    let sramIsOdd = sramBase % 2 != 0
    let dramIsOdd = dramBase % 2 != 0
    let countIsOdd = count % 2 != 0
    var moves: [Move] = []
    moves.reserveCapacity(count + 2)
    var beat = 0
    /// Writes one pair; `low` and `high` tell which halves are enabled.
    func write(low: Bool, high: Bool) {
      let to = (sramBase / 2 + beat) * 2
      let from = (dramBase / 2 + beat) * 2
      if low { moves.append(Move(to: to, from: dramIsOdd && !sramIsOdd ? from + 1 : from)) }
      if high { moves.append(Move(to: to + 1, from: sramIsOdd && !dramIsOdd ? from : from + 1)) }
      beat += 1
    }
    // Counters hold "beats - 1"; what is left after a full burst is compared with zero before its own beat is counted.
    var left = count / 2 + (countIsOdd ? 1 : 0) + (sramIsOdd ? 1 : 0) - 1
    repeat {
      let last = min(left, beatsPerBurst - 1)
      left = left < beatsPerBurst ? 0 : left - beatsPerBurst
      for index in 0...last {
        let isFirst = index == 0
        let isLast = index == last && !isFirst && left == 0
        if sramIsOdd {
          write(low: !isFirst, high: isFirst || !(isLast && !countIsOdd))
        } else {
          write(low: true, high: !(countIsOdd && (isLast || count == 1)))
        }
      }
    } while left > 0
    return moves
  }

  /// Whether the load moves what it says, and nothing else.
  package static func isExact(sramBase: Int, dramBase: Int, count: Int, beatsPerBurst: Int) -> Bool {
    let moves = moves(sramBase: sramBase, dramBase: dramBase, count: count, beatsPerBurst: beatsPerBurst)
    return moves == (0..<count).map { Move(to: sramBase + $0, from: dramBase + $0) }
  }
}
