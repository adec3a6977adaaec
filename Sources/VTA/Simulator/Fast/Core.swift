internal import CVTAKernels

/// One core's scratchpads, and the operations on them.
final class Core {
  private let c: HardwareConfiguration
  private let inputBias: UInt8
  private let inputs: UnsafeMutableRawBufferPointer
  private let accumulators: UnsafeMutableBufferPointer<Int32>
  /// Results of fused strands that wait for their maximum, one byte per lane of an accumulator.
  let stagedBase: UnsafeMutablePointer<UInt8>
  private let lanes: Int

  /// - Parameter inputElements: INP elements to make room for.
  init(_ c: HardwareConfiguration, _ kernels: KernelSet, inputElements: Int) {
    self.c = c
    inputBias = kernels.inputBias
    lanes = c.batch * c.block
    inputs = .allocate(byteCount: inputElements * lanes, alignment: 64)
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: c.depth(.acc) * lanes * 4, alignment: 64)
    accumulators = bytes.bindMemory(to: Int32.self)
    stagedBase = .allocate(capacity: c.depth(.acc) * lanes)
  }

  deinit {
    inputs.deallocate()
    stagedBase.deallocate()
    UnsafeMutableRawBufferPointer(accumulators).deallocate()
  }

  var inputBase: UnsafePointer<UInt8>? { UnsafePointer(inputBytes) }
  var accumulatorBase: UnsafeMutablePointer<Int32>? { accumulators.baseAddress }
  private var inputBytes: UnsafeMutablePointer<UInt8>? {
    inputs.baseAddress?.assumingMemoryBound(to: UInt8.self)
  }

  /// As at the start of a program.
  func clear() {
    inputs.initializeMemory(as: UInt8.self, repeating: inputBias)
    accumulators.update(repeating: 0)
  }

  func reset(_ range: Range<Int>) {
    accumulators[range.lowerBound * lanes..<range.upperBound * lanes].update(repeating: 0)
  }

  // MARK: Transfers

  func loadInputs(_ rows: FastOperation.Rows, _ to: FastOperation.Destination, _ memory: SimulatedMemory)
    throws
  {
    let bytes = try memory.bytes(at: rows.address, count: rows.byteCount)
    guard let from = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), let inputs = inputBytes else {
      return
    }
    if c.inpBits == 8 {
      let (padding, pitch) = (to.first - to.all.lowerBound, to.pitch * lanes)
      var window = vta_window(
        from: from, stride: rows.strideBytes, to: inputs + to.all.lowerBound * lanes, pitch: pitch,
        height: to.pitch == 0 ? 0 : to.all.count / to.pitch, rows: rows.count, row_bytes: rows.rowBytes,
        top: to.pitch == 0 ? 0 : padding / to.pitch, left: to.pitch == 0 ? 0 : padding % to.pitch * lanes,
        bias: inputBias)
      vta_load_window(&window)
      return
    }
    if to.isPadded {
      (inputs + to.all.lowerBound * lanes).update(repeating: inputBias, count: to.all.count * lanes)
    }
    for row in 0..<rows.count {
      let source = from + row * rows.strideBytes
      let target = inputs + (to.first + row * to.pitch) * lanes
      for lane in 0..<rows.rowBytes * 8 / c.inpBits {
        let raw = source[lane * c.inpBits / 8] >> UInt8(lane * c.inpBits % 8)
        target[lane] = UInt8(bitPattern: Scratchpads.signExtend(raw, bits: c.inpBits)) ^ inputBias
      }
    }
  }

  /// - Parameter bytes: of a lane in memory, 1 or 4.
  func loadAccumulators(
    _ rows: FastOperation.Rows, _ to: FastOperation.Destination, bytes: Int, _ memory: SimulatedMemory
  ) throws {
    let from = try memory.bytes(at: rows.address, count: rows.byteCount)
    if to.isPadded { reset(to.all) }
    for row in 0..<rows.count {
      let first = (to.first + row * to.pitch) * lanes
      let start = row * rows.strideBytes
      for lane in 0..<rows.rowBytes / bytes {
        accumulators[first + lane] =
          bytes == 4
          ? Int32(littleEndian: from.loadUnaligned(fromByteOffset: start + lane * 4, as: Int32.self))
          : Int32(from.load(fromByteOffset: start + lane, as: Int8.self))
      }
    }
  }

  func store(_ rows: FastOperation.Rows, _ first: Int, _ memory: SimulatedMemory) throws {
    let to = try memory.bytes(at: rows.address, count: rows.byteCount)
    guard let acc = accumulators.baseAddress, let base = to.baseAddress else { return }
    let (bits, rowLanes) = (c.outBits, rows.rowBytes * 8 / c.outBits)
    for row in 0..<rows.count {
      let source = acc + first * lanes + row * rowLanes
      let target = base.advanced(by: row * rows.strideBytes).assumingMemoryBound(to: UInt8.self)
      if bits == 8 {
        vta_truncate(source, target, rows.rowBytes)
        continue
      }
      let perByte = 8 / bits
      for index in 0..<rows.rowBytes {
        target[index] = (0..<perByte).reduce(UInt8(0)) { byte, part in
          let lane = UInt8(truncatingIfNeeded: source[index * perByte + part]) & UInt8((1 << bits) - 1)
          return byte | lane << UInt8(part * bits)
        }
      }
    }
  }

  // MARK: ALU

  func alu(_ list: FastOperation.ALUList, _ chain: [FastOperation.Immediate]) {
    // Stretches that stay in the first-level cache go through the whole chain.
    let stretch = chain.count > 1 ? max(1, 4096 / lanes) : max(1, list.dst.count)
    list.dst.withUnsafeBufferPointer { dst in
      list.src.withUnsafeBufferPointer { src in
        guard let dst = dst.baseAddress, let src = src.baseAddress else { return }
        for first in stride(from: 0, to: list.dst.count, by: stretch) {
          let count = min(stretch, list.dst.count - first)
          for immediate in chain {
            vta_alu_immediate(
              accumulators.baseAddress, dst + first, src + first, count, lanes, immediate.operation,
              immediate.value)
          }
        }
      }
    }
  }

  func alu(_ list: FastOperation.ALUList, tensor operation: Int32) {
    vta_alu_tensor(accumulators.baseAddress, list.dst, list.src, list.dst.count, lanes, operation)
  }
}
