/// What the fast simulator makes of an instruction: fields decoded, bounds checked, memory found.
enum FastOperation {
  case loadInp(Rows, Destination)
  /// Tiles in constant memory, by index.
  case useTiles([Int32], at: [Int])
  case packTiles(Rows, Destination)
  case clearTiles(Range<Int>)
  case loadAcc(Rows, Destination)
  case loadAcc8bit(Rows, Destination)
  case gemm(Int)
  case reset([Range<Int>])
  case aluImmediate(Int, [Immediate])
  case aluTensor(Int, operation: Int32)
  case store(Rows, first: Int)

  /// Rows of DRAM that an operation reads or writes.
  struct Rows {
    let address: UInt64
    /// From the first byte to the end of the last row.
    let byteCount: Int
    let count: Int
    let rowBytes: Int
    let strideBytes: Int
  }

  /// Where a load puts its rows, in elements of the scratchpad.
  struct Destination {
    /// The padded block.
    var all: Range<Int>
    /// First element of the first row, and distance of rows.
    var first: Int
    let pitch: Int
    let isPadded: Bool

    func moved(by distance: Int) -> Destination {
      Destination(
        all: all.lowerBound + distance..<all.upperBound + distance, first: first + distance, pitch: pitch,
        isPadded: isPadded)
    }
  }

  struct Immediate: Hashable {
    let operation: Int32
    let value: Int32
  }

  /// Accumulators of an ALU instruction, in lanes, in the order of its steps.
  struct ALUList {
    var dst: [Int32]
    var src: [Int32]
    /// Each destination is its own source, and comes once: several operations may take turns per tile.
    let isInPlace: Bool
  }
}
