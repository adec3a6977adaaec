/// LOAD and STORE (reference/vta-hardware.md, sections 3.2 and 3.3).
extension FunctionalSimulator {
  mutating func load(_ t: Transfer, _ memory: SimulatedMemory) throws(ExecutionFault) {
    let profile = target.profile
    if t.memory == .out || (t.memory == .acc8bit && !profile.hasAcc8BitLoad) {
      return try missing("LOAD of \(t.memory)")
    }
    if t.memory == .uop, profile.microOpLoad != .rows { return try loadMicroOpRow(t, memory) }
    if t.xSize == 0 && profile.zeroExtent != .padding { return }
    if t.ySize == 0 && profile.zeroExtent == .runsAway {
      throw .unsupported("LOAD with y_size 0 never ends under the profile \(profile.name)")
    }
    let honoursPadding = profile.paddedLoads.contains(t.memory)
    let (top, bottom) = honoursPadding ? (t.yPad0, t.yPad1) : (0, 0)
    let (left, right) = honoursPadding ? (t.xPad0, t.xPad1) : (0, 0)
    let pitch = left + t.xSize + right
    let count = (top + t.ySize + bottom) * pitch
    if count == 0 { return }
    try check(t.memory, t.sramBase + count - 1)
    if count > t.ySize * t.xSize {
      for index in t.sramBase..<t.sramBase + count { clear(t.memory, index) }
    }
    if t.xSize == 0 { return }
    let elementBytes = target.configuration.elementBytes(t.memory)
    for row in 0..<t.ySize {
      let first = t.dramBase &+ UInt32(truncatingIfNeeded: row * t.xStride)
      let bytes = try dram(memory, first, elementBytes, count: t.xSize)
      fill(t.memory, at: t.sramBase + (top + row) * pitch + left, from: UnsafeRawBufferPointer(bytes))
    }
  }

  /// Micro-ops where the hardware looks at `x_size` alone.
  private mutating func loadMicroOpRow(
    _ t: Transfer, _ memory: SimulatedMemory
  ) throws(ExecutionFault) {
    if t.xSize == 0 { return }
    guard case .pairs(let beatsPerBurst) = target.profile.microOpLoad else {
      try check(.uop, t.sramBase + t.xSize - 1)
      let bytes = try dram(memory, t.dramBase, Limits.microOpBytes, count: t.xSize)
      return fill(.uop, at: t.sramBase, from: UnsafeRawBufferPointer(bytes))
    }
    let moves = PairedMicroOpLoad.moves(
      sramBase: t.sramBase, dramBase: Int(t.dramBase), count: t.xSize, beatsPerBurst: beatsPerBurst)
    for move in moves {
      try check(.uop, move.to)
      let from = UInt32(truncatingIfNeeded: move.from)
      let bytes = try dram(memory, from, Limits.microOpBytes, count: 1)
      fill(.uop, at: move.to, from: UnsafeRawBufferPointer(bytes))
    }
  }

  /// An operation that the profile's hardware lacks.
  func missing(_ what: String) throws(ExecutionFault) {
    switch target.profile.missingOperation {
    case .ignored: return
    case .stops: throw .unsupported("\(what) does not exist")
    case .hangs: throw .unsupported("\(what) hangs under the profile \(target.profile.name)")
    }
  }

  mutating func store(_ t: Transfer, _ memory: SimulatedMemory) throws(ExecutionFault) {
    let c = target.configuration
    if t.xSize == 0 { return }
    if t.ySize == 0 && target.profile.zeroExtent == .runsAway {
      throw .unsupported("STORE with y_size 0 writes 65536 rows under the profile \(target.profile.name)")
    }
    // Only the simulator of TVM looks at the type and refuses padding; hardware ignores both.
    if !target.profile.hasSeparateOutBuffer {
      guard t.memory == .out else { throw .unsupported("STORE of \(t.memory); only OUT can be stored") }
      guard !t.hasPadding else { throw .unsupported("STORE with padding; it has none") }
    }
    let lanesPerByte = 8 / c.outBits
    for row in 0..<t.ySize {
      let start = t.sramBase + row * t.xSize
      try check(.out, start + t.xSize - 1)
      let first = t.dramBase &+ UInt32(truncatingIfNeeded: row * t.xStride)
      let bytes = try dram(memory, first, c.elementBytes(.out), count: t.xSize)
      for index in 0..<bytes.count {
        var byte: UInt8 = 0
        for part in 0..<lanesPerByte {
          let lane = UInt8(bitPattern: outLane(start * pads.accLanes + index * lanesPerByte + part))
          byte |= (lane & UInt8((1 << c.outBits) - 1)) << UInt8(part * c.outBits)
        }
        bytes[index] = byte
      }
    }
  }

  private func outLane(_ index: Int) -> Int8 {
    target.profile.hasSeparateOutBuffer
      ? pads.out[index] : Scratchpads.truncate(pads.acc[index], bits: target.configuration.outBits)
  }

  /// Throws unless `index` is an element of the scratchpad.
  func check(_ memory: MemoryType, _ index: Int) throws(ExecutionFault) {
    let depth = target.profile.depth(memory, target.configuration)
    guard index < depth else { throw .scratchpad(memory, index: index, depth: depth) }
  }

  /// `count` elements from element `first` on. Byte addresses have 32 bits (section 3.1).
  private func dram(
    _ memory: SimulatedMemory, _ first: UInt32, _ elementBytes: Int, count: Int
  ) throws(ExecutionFault) -> UnsafeMutableRawBufferPointer {
    do throws(MemoryFault) {
      return try memory.bytes(
        at: UInt64(first &* UInt32(elementBytes)), count: count * elementBytes)
    } catch {
      throw .memory(error)
    }
  }

  private mutating func clear(_ memory: MemoryType, _ index: Int) {
    func zero<T: ExpressibleByIntegerLiteral>(_ lanes: inout [T], _ count: Int) {
      for lane in index * count..<(index + 1) * count { lanes[lane] = 0 }
    }
    switch memory {
    case .inp: zero(&pads.inp, pads.inpLanes)
    case .wgt: zero(&pads.wgt, pads.wgtLanes)
    case .acc, .acc8bit: zero(&pads.acc, pads.accLanes)
    case .uop: pads.uop[index] = MicroOp(dst: 0, src: 0)
    case .out: break
    }
  }

  private mutating func fill(_ memory: MemoryType, at index: Int, from bytes: UnsafeRawBufferPointer) {
    let c = target.configuration
    switch memory {
    case .inp: Scratchpads.unpack(bytes, bits: c.inpBits, into: &pads.inp, at: index * pads.inpLanes)
    case .wgt: Scratchpads.unpack(bytes, bits: c.wgtBits, into: &pads.wgt, at: index * pads.wgtLanes)
    case .acc:
      for lane in 0..<bytes.count / 4 {
        pads.acc[index * pads.accLanes + lane] = Int32(
          littleEndian: bytes.loadUnaligned(fromByteOffset: lane * 4, as: Int32.self))
      }
    case .acc8bit:
      for lane in 0..<bytes.count {
        pads.acc[index * pads.accLanes + lane] = Int32(Int8(bitPattern: bytes[lane]))
      }
    case .uop:
      for element in 0..<bytes.count / Limits.microOpBytes {
        let bits = UInt32(
          littleEndian: bytes.loadUnaligned(fromByteOffset: element * 4, as: UInt32.self))
        pads.uop[index + element] = instructionSet.decode(microOp: bits)
      }
    case .out: break
    }
  }
}
