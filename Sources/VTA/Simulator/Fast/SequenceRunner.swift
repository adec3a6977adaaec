private import CVTAKernels

/// Runs the operations of a program one after the other, on one core.
final class SequenceRunner {
  private let c: HardwareConfiguration
  private let kernels: KernelSet
  private let core: Core
  /// The packed tile that each WGT element holds.
  private let tiles: UnsafeMutableBufferPointer<UnsafeRawPointer?>
  /// Tiles that programs compute or receive while they run; one more: all zeros.
  private let ownTiles: UnsafeMutableRawBufferPointer
  private let tileBytes: Int

  init(_ target: Target, _ kernels: KernelSet) {
    c = target.configuration
    self.kernels = kernels
    core = Core(c, kernels, inputElements: c.depth(.inp))
    tiles = .allocate(capacity: c.depth(.wgt))
    tileBytes = OperationSequence.tileBytes(block: c.block)
    ownTiles = .allocate(byteCount: (c.depth(.wgt) + 1) * tileBytes, alignment: 64)
    ownTiles.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit {
    tiles.deallocate()
    ownTiles.deallocate()
  }

  func run(
    _ program: OperationSequence, _ memory: SimulatedMemory, _ shouldContinue: () -> Bool
  ) throws {
    core.clear()
    tiles.initialize(repeating: zeroTile)
    for (index, operation) in program.operations.enumerated() {
      guard shouldContinue() else { throw SimulationError.stopped(at: index) }
      try execute(operation, program, memory)
    }
  }

  private var zeroTile: UnsafeRawPointer? { ownTile(c.depth(.wgt)) }

  private func ownTile(_ slot: Int) -> UnsafeRawPointer? {
    ownTiles.baseAddress.map { UnsafeRawPointer($0 + slot * tileBytes) }
  }

  private func execute(
    _ operation: FastOperation, _ program: OperationSequence, _ memory: SimulatedMemory
  ) throws {
    switch operation {
    case .loadInp(let rows, let to): try core.loadInputs(rows, to, memory)
    case .useTiles(let indices, let slots):
      guard let base = program.tiles.baseAddress else { return }
      for (index, slot) in zip(indices, slots) {
        tiles[slot] = UnsafeRawPointer(base + Int(index) * tileBytes)
      }
    case .packTiles(let rows, let to):
      packTiles(try memory.bytes(at: rows.address, count: rows.byteCount), rows, to)
    case .clearTiles(let slots): for slot in slots { tiles[slot] = zeroTile }
    case .loadAcc(let rows, let to): try core.loadAccumulators(rows, to, bytes: 4, memory)
    case .loadAcc8bit(let rows, let to): try core.loadAccumulators(rows, to, bytes: 1, memory)
    case .gemm(let index): gemm(program.gemms[index])
    case .reset(let ranges): for range in ranges { core.reset(range) }
    case .aluImmediate(let list, let chain): core.alu(program.alus[list], chain)
    case .aluTensor(let list, let operation): core.alu(program.alus[list], tensor: operation)
    case .store(let rows, let first): try core.store(rows, first, memory)
    }
  }

  private func packTiles(
    _ bytes: UnsafeMutableRawBufferPointer, _ rows: FastOperation.Rows, _ to: FastOperation.Destination
  ) {
    let size = c.elementBytes(.wgt)
    if to.isPadded { for slot in to.all { tiles[slot] = zeroTile } }
    var lanes = [Int8](repeating: 0, count: c.block * c.block)
    for row in 0..<rows.count {
      for column in 0..<rows.rowBytes / size {
        let offset = row * rows.strideBytes + column * size
        let slot = to.first + row * to.pitch + column
        Scratchpads.unpack(
          UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + size]), bits: c.wgtBits, into: &lanes,
          at: 0)
        PackedTiles.pack(lanes, block: c.block, to: ownTiles.baseAddress?.advanced(by: slot * tileBytes))
        tiles[slot] = ownTile(slot)
      }
    }
  }

  private func gemm(_ calls: GemmCalls) {
    for shift in calls.shifts {
      for call in calls.calls { gemm(call, shift) }
    }
  }

  private func gemm(_ call: GemmCalls.Call, _ shift: GemmCalls.Shift) {
    let size = c.block * c.block
    var sums = [Int32](repeating: 0, count: c.block)
    let runs = call.steps.map { step in
      let tile = tiles[step.wgt + shift.wgt]
      if kernels.inputBias != 0, let corrections = tile?.advanced(by: size) {
        for lane in 0..<c.block { sums[lane] &+= corrections.load(fromByteOffset: 4 * lane, as: Int32.self) }
      }
      return vta_run(
        inp: step.inp, count: Int32(c.block / 4), wgt: tile?.assumingMemoryBound(to: UInt8.self), pair: nil)
    }
    guard let acc = core.accumulatorBase else { return }
    runs.withUnsafeBufferPointer { runs in
      call.inputs.withUnsafeBufferPointer { positions in
        call.accumulators.withUnsafeBufferPointer { results in
          sums.withUnsafeBufferPointer { sums in
            var segment = vta_segment(
              runs: runs.baseAddress, run_count: runs.count, positions: positions.baseAddress, inp: shift.inp)
            withUnsafePointer(to: &segment) { segment in
              var arguments = vta_tiles(
                inp: core.inputBase, segments: segment, segment_count: 1, position_count: positions.count,
                block: c.block, init: sums.baseAddress, inits: nil, results: results.baseAddress, pair: 0,
                acc: acc + shift.acc / 4, out: nil, shift: nil, offset: nil, high: 0, low: 0,
                steps: nil, step_count: 0, early: nil, early_count: 0,
                early_segments: 0, ahead: nil, ahead_bytes: 0)
              kernels.kernel?(&arguments)
            }
          }
        }
      }
    }
  }
}
