private import CVTAKernels

/// A program as operations in the order in which the plain simulator executes its instructions. For programs that
/// ``TaskPlanner`` can't take apart.
final class OperationSequence {
  let operations: [FastOperation]
  let gemms: [GemmCalls]
  let alus: [FastOperation.ALUList]
  /// Packed constant tiles, one behind the other, each with its corrections.
  let tiles: UnsafeMutableRawBufferPointer

  /// Takes over `tiles`.
  init(
    operations: [FastOperation], gemms: [GemmCalls], alus: [FastOperation.ALUList],
    tiles: UnsafeMutableRawBufferPointer
  ) {
    self.operations = operations
    self.gemms = gemms
    self.alus = alus
    self.tiles = tiles
  }

  deinit { tiles.deallocate() }

  /// Bytes of a packed tile and its corrections.
  static func tileBytes(block: Int) -> Int { block * block + 4 * block }

  var byteCount: Int {
    tiles.count + alus.reduce(0) { $0 + 4 * ($1.dst.count + $1.src.count) }
      + gemms.reduce(0) { $0 + $1.byteCount }
  }
}

extension GemmCalls {
  fileprivate var byteCount: Int {
    calls.reduce(shifts.count * MemoryLayout<Shift>.stride) {
      $0 + 8 * $1.inputs.count + $1.steps.count * MemoryLayout<Step>.stride
    }
  }
}
