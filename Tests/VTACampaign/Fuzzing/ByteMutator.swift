private import VTA

/// Changes to bytes that formats are sensitive to: bits, small and extreme numbers in fields of 1 to 8 bytes, cuts,
/// repeats and splices. For the slice of fuzzing in the tests; `make fuzz` leaves this to libFuzzer.
package struct ByteMutator {
  private var random: SeededGenerator

  package init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  /// - Parameter other: a second seed to splice from.
  package mutating func mutated(_ seed: [UInt8], other: [UInt8]) -> [UInt8] {
    var bytes = seed
    for _ in 0...Int.random(in: 0...3, using: &random) { change(&bytes, other) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8], _ other: [UInt8]) {
    guard !bytes.isEmpty else {
      bytes = other
      return
    }
    let position = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<7, using: &random) {
    case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 1: bytes[position] = UInt8.random(in: 0...255, using: &random)
    case 2: bytes.removeSubrange(position...)
    case 3: bytes.removeSubrange(position..<min(bytes.count, position + length()))
    case 4: bytes.insert(contentsOf: bytes[position..<min(bytes.count, position + length())], at: position)
    case 5:
      let start = other.isEmpty ? 0 : Int.random(in: 0..<other.count, using: &random)
      let piece = other[start..<min(other.count, start + length())]
      bytes.replaceSubrange(position..<min(bytes.count, position + piece.count), with: piece)
    default: writeNumber(&bytes, position)
    }
  }

  private mutating func length() -> Int { 1 << Int.random(in: 0...7, using: &random) }

  private mutating func writeNumber(_ bytes: inout [UInt8], _ position: Int) {
    let width = 1 << Int.random(in: 0...3, using: &random)
    let numbers: [UInt64] = [
      0, 1, .max, 1 << 63, UInt64(1) << UInt64.random(in: 0..<64, using: &random),
      UInt64(bytes.count), UInt64.random(in: 0...UInt64.max, using: &random),
    ]
    let number = numbers[Int.random(in: 0..<numbers.count, using: &random)]
    for index in 0..<min(width, bytes.count - position) {
      bytes[position + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index))
    }
  }
}
