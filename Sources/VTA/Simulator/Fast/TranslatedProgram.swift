/// A program whose instructions have been decoded, bounds checked and turned into calls of kernels, in the order in which
/// the plain simulator executes them.
package final class TranslatedProgram {
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
    /// All elements of the padded block.
    let all: Range<Int>
    /// First element of the first row, and distance of rows.
    let first: Int
    let pitch: Int
    var isPadded: Bool
  }

  enum Operation {
    case loadInp(Rows, Destination)
    /// Tiles that were packed at translation, by index.
    case useTiles([Int32], at: [Int])
    case packTiles(Rows, Destination)
    case loadAcc(Rows, Destination)
    case loadAcc8bit(Rows, Destination)
    case clear(MemoryType, Range<Int>)
    case gemm(Int)
    case reset([Range<Int>])
    case aluImmediate(Int, [(operation: Int32, value: Int32)])
    case aluTensor(Int, operation: Int32)
    case store(Rows, first: Int, pitch: Int)
  }

  package let target: Target
  package let kernels: KernelSet
  let operations: [Operation]
  let gemms: [GemmCalls]
  /// Offsets in lanes.
  let alus: [AluList]
  /// Packed constant tiles, one behind the other.
  let tiles: UnsafeMutableRawBufferPointer
  /// Multiply-accumulates of all GEMM steps, resets excluded.
  package let macs: Int

  struct AluList {
    var dst: [Int32]
    var src: [Int32]
    /// Each destination is its own source, and comes once: several operations may take turns per tile.
    let isInPlace: Bool
  }

  init(
    target: Target, kernels: KernelSet, operations: [Operation], gemms: [GemmCalls], alus: [AluList],
    tiles: UnsafeMutableRawBufferPointer, macs: Int
  ) {
    self.target = target
    self.kernels = kernels
    self.operations = operations
    self.gemms = gemms
    self.alus = alus
    self.tiles = tiles
    self.macs = macs
  }

  deinit { tiles.deallocate() }
}
