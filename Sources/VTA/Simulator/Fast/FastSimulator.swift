private import CVTAKernels

/// Runs translated programs. Equal to ``FunctionalSimulator`` in every bit of memory.
///
/// Owned by the thread that drives the device; not safe to share.
package final class FastSimulator {
  package let target: Target
  package let kernels: KernelSet
  private let gemmKernel: @convention(c) (UnsafePointer<vta_gemm>?) -> Void
  private let inp: UnsafeMutableRawBufferPointer
  private let acc: UnsafeMutableBufferPointer<Int32>
  /// The packed tile that each WGT element holds.
  private let tiles: UnsafeMutableBufferPointer<UnsafePointer<UInt8>?>
  /// Tiles that programs compute or receive while they run.
  private let ownTiles: UnsafeMutableRawBufferPointer
  private let zeroTile: UnsafePointer<UInt8>
  private let tileBytes: Int
  private let executor: (any ParallelExecutor)?

  /// - Parameter executor: cores to share large instructions among; `nil`: this one.
  /// - Returns: `nil` for blocks that no kernel handles.
  package init?(target: Target, kernels: KernelSet, executor: (any ParallelExecutor)? = nil) {
    let c = target.configuration
    var sets: UnsafePointer<UnsafePointer<vta_kernel_set>?>?
    guard c.block % 4 == 0, kernels.index < vta_kernel_sets(&sets),
      let kernel = sets?[kernels.index]?.pointee.gemm
    else { return nil }
    self.target = target
    self.kernels = kernels
    self.executor = executor
    gemmKernel = kernel
    inp = .allocate(byteCount: c.depth(.inp) * c.batch * c.block, alignment: 64)
    let accBytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: c.depth(.acc) * c.batch * c.block * 4, alignment: 64)
    acc = accBytes.bindMemory(to: Int32.self)
    tiles = .allocate(capacity: c.depth(.wgt))
    tileBytes = vta_packed_tile_bytes(c.block)
    // One more: all zeros.
    ownTiles = .allocate(byteCount: (c.depth(.wgt) + 1) * tileBytes, alignment: 64)
    ownTiles.initializeMemory(as: UInt8.self, repeating: 0)
    guard let base = ownTiles.baseAddress else { return nil }
    zeroTile = UnsafePointer(
      base.advanced(by: c.depth(.wgt) * tileBytes).assumingMemoryBound(to: UInt8.self))
  }

  deinit {
    inp.deallocate()
    UnsafeMutableRawBufferPointer(acc).deallocate()
    tiles.deallocate()
    ownTiles.deallocate()
  }

  /// - Parameters:
  ///   - program: translated for this target and these kernels.
  ///   - shouldContinue: asked between operations; `false` stops the run.
  /// - Throws: ``MemoryFault`` if memory of the program is gone, ``SimulationError/stopped(at:)``.
  package func run(
    _ program: TranslatedProgram, memory: SimulatedMemory, shouldContinue: () -> Bool = { true }
  ) throws {
    inp.initializeMemory(as: UInt8.self, repeating: kernels.inputBias)
    acc.update(repeating: 0)
    tiles.initialize(repeating: zeroTile)
    for (index, operation) in program.operations.enumerated() {
      guard shouldContinue() else { throw SimulationError.stopped(at: index) }
      try execute(operation, program, memory)
    }
  }

  private func execute(
    _ operation: TranslatedProgram.Operation, _ program: TranslatedProgram, _ memory: SimulatedMemory
  ) throws {
    switch operation {
    case .loadInp(let rows, let to):
      loadInp(try memory.bytes(at: rows.address, count: rows.byteCount), rows, to)
    case .useTiles(let indices, let slots):
      guard let base = program.tiles.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
      for (index, slot) in zip(indices, slots) { tiles[slot] = UnsafePointer(base + Int(index) * tileBytes) }
    case .packTiles(let rows, let to):
      packTiles(try memory.bytes(at: rows.address, count: rows.byteCount), rows, to)
    case .loadAcc(let rows, let to):
      loadAcc(try memory.bytes(at: rows.address, count: rows.byteCount), rows, to, bytes: 4)
    case .loadAcc8bit(let rows, let to):
      loadAcc(try memory.bytes(at: rows.address, count: rows.byteCount), rows, to, bytes: 1)
    case .clear(_, let slots): for slot in slots { tiles[slot] = zeroTile }
    case .gemm(let index): gemm(program.gemms[index])
    case .reset(let ranges): for range in ranges { clearAcc(range) }
    case .aluImmediate(let list, let chain): aluImmediate(program.alus[list], chain)
    case .aluTensor(let list, let operation):
      let list = program.alus[list]
      vta_alu_tensor(acc.baseAddress, list.dst, list.src, list.dst.count, lanes, operation)
    case .store(let rows, let first, let pitch):
      store(try memory.bytes(at: rows.address, count: rows.byteCount), rows, first, pitch)
    }
  }

  private var lanes: Int { target.configuration.batch * target.configuration.block }

  private func clearAcc(_ range: Range<Int>) {
    acc[range.lowerBound * lanes..<range.upperBound * lanes].update(repeating: 0)
  }

  // MARK: Transfers

  private func loadInp(
    _ bytes: UnsafeMutableRawBufferPointer, _ rows: TranslatedProgram.Rows,
    _ to: TranslatedProgram.Destination
  ) {
    let bits = target.configuration.inpBits
    guard let from = bytes.baseAddress, let inp = inp.baseAddress?.assumingMemoryBound(to: UInt8.self) else {
      return
    }
    if to.isPadded {
      (inp + to.all.lowerBound * lanes).update(repeating: kernels.inputBias, count: to.all.count * lanes)
    }
    for row in 0..<rows.count {
      let source = from.advanced(by: row * rows.strideBytes).assumingMemoryBound(to: UInt8.self)
      let target = inp + (to.first + row * to.pitch) * lanes
      if bits == 8 {
        vta_copy_biased(target, source, rows.rowBytes, kernels.inputBias)
      } else {
        for lane in 0..<rows.rowBytes * 8 / bits {
          let raw = source[lane * bits / 8] >> UInt8(lane * bits % 8)
          target[lane] = UInt8(bitPattern: Scratchpads.signExtend(raw, bits: bits)) ^ kernels.inputBias
        }
      }
    }
  }

  private func packTiles(
    _ bytes: UnsafeMutableRawBufferPointer, _ rows: TranslatedProgram.Rows,
    _ to: TranslatedProgram.Destination
  ) {
    let c = target.configuration
    let size = c.elementBytes(.wgt)
    if to.isPadded { for slot in to.all { tiles[slot] = zeroTile } }
    guard let own = ownTiles.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
    var lanes = [Int8](repeating: 0, count: c.block * c.block)
    for row in 0..<rows.count {
      for column in 0..<rows.rowBytes / size {
        let offset = row * rows.strideBytes + column * size
        let slot = to.first + row * to.pitch + column
        Scratchpads.unpack(
          UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + size]), bits: c.wgtBits, into: &lanes,
          at: 0)
        vta_pack_tile(lanes, c.block, own + slot * tileBytes)
        tiles[slot] = UnsafePointer(own + slot * tileBytes)
      }
    }
  }

  private func loadAcc(
    _ from: UnsafeMutableRawBufferPointer, _ rows: TranslatedProgram.Rows,
    _ to: TranslatedProgram.Destination,
    bytes: Int
  ) {
    if to.isPadded { clearAcc(to.all) }
    for row in 0..<rows.count {
      let first = (to.first + row * to.pitch) * lanes
      let start = row * rows.strideBytes
      for lane in 0..<rows.rowBytes / bytes {
        acc[first + lane] =
          bytes == 4
          ? Int32(littleEndian: from.loadUnaligned(fromByteOffset: start + lane * 4, as: Int32.self))
          : Int32(from.load(fromByteOffset: start + lane, as: Int8.self))
      }
    }
  }

  private func store(
    _ to: UnsafeMutableRawBufferPointer, _ rows: TranslatedProgram.Rows, _ first: Int, _ pitch: Int
  ) {
    let bits = target.configuration.outBits
    guard let acc = acc.baseAddress, let base = to.baseAddress else { return }
    for row in 0..<rows.count {
      let source = acc + (first + row * pitch) * lanes
      let target = base.advanced(by: row * rows.strideBytes).assumingMemoryBound(to: UInt8.self)
      if bits == 8 {
        vta_truncate(source, target, rows.rowBytes)
      } else {
        let perByte = 8 / bits
        for index in 0..<rows.rowBytes {
          target[index] = (0..<perByte).reduce(UInt8(0)) { byte, part in
            let lane = UInt8(truncatingIfNeeded: source[index * perByte + part]) & UInt8((1 << bits) - 1)
            return byte | lane << UInt8(part * bits)
          }
        }
      }
    }
  }

  // MARK: Loops

  /// Tile products and ALU tiles below which waking another core costs more than it saves.
  private static let productsWorthSharing = 4096
  private static let tilesWorthSharing = 512

  private func gemm(_ calls: GemmCalls) {
    guard let executor, executor.width > 1, calls.isDisjoint, calls.productCount >= Self.productsWorthSharing
    else { return gemm(calls, rows: 0..<calls.rowCount) }
    let width = executor.width
    // Whole groups of eight rows, as kernels like them.
    let share = (calls.rowCount + 8 * width - 1) / (8 * width) * 8
    executor.perform { index in
      let first = min(index * share, calls.rowCount)
      gemm(calls, rows: first..<min(first + share, calls.rowCount))
    }
  }

  /// - Parameter rows: counted through all shifts, calls and positions.
  private func gemm(_ calls: GemmCalls, rows: Range<Int>) {
    var first = 0
    for shift in calls.shifts {
      for call in calls.calls {
        let own = rows.clamped(to: first..<first + call.positions.count)
        if !own.isEmpty { gemm(call, own.lowerBound - first..<own.upperBound - first, shift) }
        first += call.positions.count
      }
    }
  }

  private func gemm(
    _ call: GemmCalls.Call, _ rows: Range<Int>, _ shift: (acc: Int32, inp: Int32, wgt: Int32)
  ) {
    call.positions.withUnsafeBufferPointer { positions in
      call.steps.withUnsafeBufferPointer { steps in
        var arguments = vta_gemm(
          acc: acc.baseAddress, inp: inp.baseAddress?.assumingMemoryBound(to: UInt8.self),
          tiles: UnsafePointer(tiles.baseAddress),
          positions: positions.baseAddress?.advanced(by: rows.lowerBound), position_count: rows.count,
          steps: steps.baseAddress, step_count: steps.count, acc_shift: shift.acc, inp_shift: shift.inp,
          wgt_shift: shift.wgt, pair_acc: call.pairAcc, block: target.configuration.block)
        gemmKernel(&arguments)
      }
    }
  }

  private func aluImmediate(_ list: TranslatedProgram.AluList, _ chain: [(operation: Int32, value: Int32)]) {
    let count = list.dst.count
    guard let executor, executor.width > 1, list.isInPlace, count >= Self.tilesWorthSharing else {
      return aluImmediate(list, chain, tiles: 0..<count)
    }
    let share = (count + executor.width - 1) / executor.width
    executor.perform { index in
      let first = min(index * share, count)
      aluImmediate(list, chain, tiles: first..<min(first + share, count))
    }
  }

  private func aluImmediate(
    _ list: TranslatedProgram.AluList, _ chain: [(operation: Int32, value: Int32)], tiles: Range<Int>
  ) {
    // Stretches that stay in the first-level cache go through the whole chain.
    let stretch = chain.count > 1 ? max(1, 4096 / lanes) : max(1, tiles.count)
    list.dst.withUnsafeBufferPointer { dst in
      list.src.withUnsafeBufferPointer { src in
        guard let dst = dst.baseAddress, let src = src.baseAddress else { return }
        for first in stride(from: tiles.lowerBound, to: tiles.upperBound, by: stretch) {
          let count = min(stretch, tiles.upperBound - first)
          for (operation, value) in chain {
            vta_alu_immediate(acc.baseAddress, dst + first, src + first, count, lanes, operation, value)
          }
        }
      }
    }
  }
}
