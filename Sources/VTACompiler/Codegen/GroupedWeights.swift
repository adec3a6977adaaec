/// The weights of a term as a matrix of outputs × inputs per tap, zero outside its groups.
struct GroupedWeights {
  let outputs: Int
  let inputs: Int
  let taps: Int
  private let outputsPerGroup: Int
  private let inputsPerGroup: Int
  private let values: [Int8]

  /// - Parameter values: `outputs × inputs / groups × taps`.
  init(_ values: [Int8], groups: Int, _ outputs: Int, _ inputs: Int, _ taps: Int) {
    self.values = values
    self.outputs = outputs
    self.inputs = inputs
    self.taps = taps
    outputsPerGroup = outputs / groups
    inputsPerGroup = inputs / groups
  }

  /// Zero also beyond the last output and input.
  func value(_ output: Int, _ input: Int, tap: Int) -> Int8 {
    guard output < outputs, input < inputs else { return 0 }
    let first = output / outputsPerGroup * inputsPerGroup
    guard input >= first, input < first + inputsPerGroup else { return 0 }
    return values[(output * inputsPerGroup + input - first) * taps + tap]
  }

  /// That each block of outputs sees the same block of inputs and no other.
  func isBlockDiagonal(_ block: Int) -> Bool {
    outputsPerGroup == inputsPerGroup && block % inputsPerGroup == 0
  }

  /// From the first to the last block of inputs with a weight that is not 0; empty if there is none.
  func inputBlocks(seenBy outputBlock: Int, block: Int) -> Range<Int> {
    var (low, high) = (Int.max, -1)
    for output in outputBlock * block..<min((outputBlock + 1) * block, outputs) {
      let first = output / outputsPerGroup * inputsPerGroup
      let row = values[output * inputsPerGroup * taps..<(output + 1) * inputsPerGroup * taps]
      guard let start = row.firstIndex(where: { $0 != 0 }), let end = row.lastIndex(where: { $0 != 0 }) else {
        continue
      }
      low = min(low, first + (start - row.startIndex) / taps)
      high = max(high, first + (end - row.startIndex) / taps)
    }
    return high < 0 ? 0..<0 : low / block..<high / block + 1
  }
}
