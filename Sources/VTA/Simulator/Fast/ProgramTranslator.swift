private import CVTAKernels

/// Translates a program for the fast simulator: into tasks where that is possible, else into operations in order. Whatever it can't promise to compute exactly as the plain simulator does,
/// errors included, it leaves to that one.
package struct ProgramTranslator {
  private let target: Target
  private let kernels: KernelSet
  private let memory: SimulatedMemory
  private let isConstant: (Range<UInt64>) -> Bool
  private let limits: TranslationLimits
  private let instructionSet: InstructionSet

  private var microOps: [MicroOp]
  private var operations: [FastOperation] = []
  /// Of each operation, the first where it stands for several.
  private var instructions: [Int32] = []
  private var gemms: [GemmPlan] = []
  private var alus: [FastOperation.ALUList] = []
  private var gemmIndices: [LoopKey: Int] = [:]
  private var aluIndices: [LoopKey: Int] = [:]
  private var tileAddresses: [UInt64] = []
  private var tileIndices: [UInt64: Int32] = [:]
  /// Accumulators whose low bits are what STORE would find in OUT.
  private var followsAcc: [Bool]
  private var macs = 0
  /// List elements that a translation may still take; bounds time and memory, whatever the program.
  private var budget = 1 << 24

  private struct LoopKey: Hashable {
    let microOps: [MicroOp]
    let loops: LoopNest
    var wgtOut = 0
    var wgtIn = 0
    var isTensor = false
  }

  /// Ends the translation: the plain simulator runs the program.
  private struct Unsuitable: Error {}

  /// - Parameters:
  ///   - memory: with the program, its micro-ops and constants in place.
  ///   - isConstant: whether memory keeps its contents as long as the translation is used.
  /// - Returns: `nil` if the program is better left to the plain simulator.
  package static func translate(
    instructionAddress: UInt64, count: Int, target: Target, memory: SimulatedMemory, kernels: KernelSet,
    isConstant: @escaping (Range<UInt64>) -> Bool, limits: TranslationLimits = .usual
  ) -> TranslatedProgram? {
    guard target.configuration.block % 4 == 0,
      let set = try? InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    else { return nil }
    var translator = ProgramTranslator(target, kernels, memory, set, isConstant, limits)
    do {
      return try translator.translate(instructionAddress, count)
    } catch {
      return nil
    }
  }

  private init(
    _ target: Target, _ kernels: KernelSet, _ memory: SimulatedMemory, _ set: InstructionSet,
    _ isConstant: @escaping (Range<UInt64>) -> Bool, _ limits: TranslationLimits
  ) {
    self.target = target
    self.kernels = kernels
    self.memory = memory
    self.isConstant = isConstant
    self.limits = limits
    instructionSet = set
    let c = target.configuration
    microOps = Array(repeating: MicroOp(dst: 0, src: 0), count: target.profile.microOpDepth(c))
    // Before anything is written, ACC and OUT both hold zeros.
    followsAcc = Array(repeating: true, count: c.depth(.acc))
  }

  private mutating func translate(_ address: UInt64, _ count: Int) throws -> TranslatedProgram {
    let stream = address..<address + UInt64(count * Limits.instructionBytes)
    guard isConstant(stream) else { throw Unsuitable() }
    let bytes = try memory.bytes(at: address, count: count * Limits.instructionBytes)
    let instructions = try InstructionWords.stream(UnsafeRawBufferPointer(bytes)).map {
      try instructionSet.decode($0)
    }
    guard instructions.last?.opcode == .finish else { throw Unsuitable() }
    var dispatch = TokenDispatch(instructions, profile: target.profile)
    var picker = ModulePicker(.inOrder)
    while let module = picker.next(dispatch), let index = dispatch.takeReady(module) {
      try translate(instructions[index])
      let added = operations.count - self.instructions.count
      self.instructions += repeatElement(Int32(index), count: added)
      dispatch.complete(index)
    }
    guard dispatch.waiting.isEmpty else { throw Unsuitable() }
    return TranslatedProgram(
      target: target, kernels: kernels, body: try body(), macs: macs, constantTiles: tileAddresses.count)
  }

  /// Tasks where that is possible.
  private func body() throws -> TranslatedProgram.Body {
    let planner = TaskPlanner(
      target: target, kernels: kernels, memory: memory, isConstant: isConstant, operations: operations,
      instructions: instructions, gemms: gemms, alus: alus, tiles: tileAddresses,
      limits: limits)
    if let graph = planner.graph() { return .tasks(graph) }
    return .sequence(
      OperationSequence(
        operations: operations, gemms: gemms.map { GemmCalls($0, target.configuration) }, alus: alus,
        tiles: try packedTiles()))
  }

  private mutating func translate(_ instruction: Instruction) throws {
    switch instruction.operation {
    case .load(let transfer): try load(transfer)
    case .store(let transfer): try store(transfer)
    case .gemm(let gemm): try self.gemm(gemm)
    case .alu(let alu): try self.alu(alu)
    case .finish: break
    }
  }

  private mutating func spend(_ elements: Int) throws {
    budget -= elements
    if budget < 0 { throw Unsuitable() }
  }

  // MARK: Transfers

  /// Rows inside one block of memory.
  private func rows(_ t: Transfer, _ memory: MemoryType) throws -> FastOperation.Rows {
    let size = target.configuration.elementBytes(memory)
    let (first, rowBytes, stride) = (UInt64(t.dramBase) * UInt64(size), t.xSize * size, t.xStride * size)
    let byteCount = (t.ySize - 1) * stride + rowBytes
    guard first + UInt64(byteCount) <= MemoryFault.addressSpaceEnd else { throw Unsuitable() }
    _ = try self.memory.bytes(at: first, count: byteCount)
    return FastOperation.Rows(
      address: first, byteCount: byteCount, count: t.ySize, rowBytes: rowBytes, strideBytes: stride)
  }

  private mutating func load(_ t: Transfer) throws {
    if t.isNop { return }
    guard t.xSize > 0, t.ySize > 0, t.memory != .out else { throw Unsuitable() }
    let profile = target.profile
    if t.memory == .acc8bit && !profile.hasAcc8BitLoad { throw Unsuitable() }
    if t.memory == .uop { return try loadMicroOps(t) }
    let honours = profile.paddedLoads.contains(t.memory)
    let (top, bottom) = honours ? (t.yPad0, t.yPad1) : (0, 0)
    let (left, right) = honours ? (t.xPad0, t.xPad1) : (0, 0)
    let pitch = left + t.xSize + right
    let all = t.sramBase..<t.sramBase + (top + t.ySize + bottom) * pitch
    guard all.upperBound <= target.configuration.depth(t.memory) else { throw Unsuitable() }
    let rows = try rows(t, t.memory)
    let destination = FastOperation.Destination(
      all: all, first: t.sramBase + top * pitch + left, pitch: pitch, isPadded: all.count > t.ySize * t.xSize)
    switch t.memory {
    case .inp: operations.append(.loadInp(rows, destination))
    case .wgt: try loadTiles(rows, destination)
    case .acc, .acc8bit:
      operations.append(t.memory == .acc ? .loadAcc(rows, destination) : .loadAcc8bit(rows, destination))
      if profile.hasSeparateOutBuffer { for element in all { followsAcc[element] = false } }
    case .uop, .out: break
    }
  }

  private mutating func loadTiles(
    _ rows: FastOperation.Rows, _ to: FastOperation.Destination
  ) throws {
    guard isConstant(rows.address..<rows.address + UInt64(rows.byteCount)) else {
      operations.append(.packTiles(rows, to))
      return
    }
    try spend(rows.count * rows.rowBytes / target.configuration.elementBytes(.wgt))
    if to.isPadded { operations.append(.clearTiles(to.all)) }
    let size = UInt64(target.configuration.elementBytes(.wgt))
    var indices: [Int32] = []
    var slots: [Int] = []
    for row in 0..<rows.count {
      for column in 0..<rows.rowBytes / Int(size) {
        indices.append(tile(at: rows.address + UInt64(row * rows.strideBytes) + UInt64(column) * size))
        slots.append(to.first + row * to.pitch + column)
      }
    }
    operations.append(.useTiles(indices, at: slots))
  }

  private mutating func tile(at address: UInt64) -> Int32 {
    if let known = tileIndices[address] { return known }
    let index = Int32(tileAddresses.count)
    tileAddresses.append(address)
    tileIndices[address] = index
    return index
  }

  private func packedTiles() throws -> UnsafeMutableRawBufferPointer {
    let c = target.configuration
    let size = OperationSequence.tileBytes(block: c.block)
    let tiles = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, tileAddresses.count * size), alignment: 64)
    var lanes = [Int8](repeating: 0, count: c.block * c.block)
    for (index, address) in tileAddresses.enumerated() {
      guard let bytes = try? memory.bytes(at: address, count: c.elementBytes(.wgt)) else {
        tiles.deallocate()
        throw Unsuitable()
      }
      Scratchpads.unpack(UnsafeRawBufferPointer(bytes), bits: c.wgtBits, into: &lanes, at: 0)
      PackedTiles.pack(lanes, block: c.block, to: tiles.baseAddress?.advanced(by: index * size))
    }
    return tiles
  }

  private mutating func loadMicroOps(_ t: Transfer) throws {
    // Rarer forms are the plain simulator's.
    guard !t.hasPadding, t.ySize == 1, t.sramBase + t.xSize <= microOps.count else { throw Unsuitable() }
    if case .pairs(let beats) = target.profile.microOpLoad,
      !PairedMicroOpLoad.isExact(
        sramBase: t.sramBase, dramBase: Int(t.dramBase), count: t.xSize, beatsPerBurst: beats)
    {
      throw Unsuitable()
    }
    let rows = try rows(t, .uop)
    guard isConstant(rows.address..<rows.address + UInt64(rows.byteCount)) else { throw Unsuitable() }
    let bytes = try memory.bytes(at: rows.address, count: rows.byteCount)
    for index in 0..<t.xSize {
      let bits = bytes.loadUnaligned(fromByteOffset: index * Limits.microOpBytes, as: UInt32.self)
      microOps[t.sramBase + index] = instructionSet.decode(microOp: UInt32(littleEndian: bits))
    }
  }

  private mutating func store(_ t: Transfer) throws {
    if t.isNop { return }
    guard t.xSize > 0, t.ySize > 0, !t.hasPadding, t.memory == .out else { throw Unsuitable() }
    let all = t.sramBase..<t.sramBase + t.ySize * t.xSize
    guard all.upperBound <= target.configuration.depth(.out), followsAcc[all].allSatisfy({ $0 }) else {
      throw Unsuitable()
    }
    operations.append(.store(try rows(t, .out), first: t.sramBase))
  }

  // MARK: Loops

  /// Throws unless all indices of one operand are elements of the scratchpad.
  private func check(
    _ memory: MemoryType, _ base: Int, _ l: LoopNest, _ out: Int, _ in: Int
  ) throws {
    let last = base + (l.iterOut - 1) * out + (l.iterIn - 1) * `in`
    guard last < target.configuration.depth(memory) else { throw Unsuitable() }
  }

  private func kernel(_ l: LoopNest) throws -> ArraySlice<MicroOp> {
    guard l.uopBegin < l.uopEnd, l.iterOut > 0, l.iterIn > 0, l.uopEnd <= microOps.count else {
      throw Unsuitable()
    }
    return microOps[l.uopBegin..<l.uopEnd]
  }

  private func maximum(_ microOps: ArraySlice<MicroOp>) -> MicroOp {
    microOps.reduce(MicroOp(dst: 0, src: 0)) {
      MicroOp(dst: max($0.dst, $1.dst), src: max($0.src, $1.src), wgt: max($0.wgt, $1.wgt))
    }
  }

  private mutating func gemm(_ gemm: Gemm) throws {
    let l = gemm.loops
    let kernel = try kernel(l)
    let top = maximum(kernel)
    try check(.acc, top.dst, l, l.dstFactorOut, l.dstFactorIn)
    // Some resets read operands too, for OUT.
    if !gemm.reset || target.profile.hasSeparateOutBuffer && target.profile.resetOutput != .unchanged {
      try check(.inp, top.src, l, l.srcFactorOut, l.srcFactorIn)
      try check(.wgt, top.wgt, l, gemm.wgtFactorOut, gemm.wgtFactorIn)
    }
    if gemm.reset { return try reset(kernel, l) }
    let key = LoopKey(
      microOps: Array(kernel), loops: l.moved, wgtOut: gemm.wgtFactorOut, wgtIn: gemm.wgtFactorIn)
    let index: Int
    if let known = gemmIndices[key] {
      index = known
    } else {
      guard let plan = GemmPlan(kernel, gemm) else { throw Unsuitable() }
      try spend(kernel.count + plan.elementCount)
      index = gemms.count
      gemms.append(plan)
      gemmIndices[key] = index
    }
    operations.append(.gemm(index))
    let tile = target.configuration.batch * target.configuration.block * target.configuration.block
    // A figure for benchmarks; hostile loops may wrap it.
    macs &+= l.stepCount &* tile
    markResults(kernel, l)
  }

  private func destinations(_ kernel: ArraySlice<MicroOp>, _ l: LoopNest) -> TileSet {
    var set = TileSet(depth: target.configuration.depth(.acc))
    for microOp in kernel { set.insert(microOp.dst) }
    set.repeated(extent: l.iterIn, factor: l.dstFactorIn)
    set.repeated(extent: l.iterOut, factor: l.dstFactorOut)
    return set
  }

  private mutating func reset(_ kernel: ArraySlice<MicroOp>, _ l: LoopNest) throws {
    var ranges: [Range<Int>] = []
    destinations(kernel, l).forEach { element in
      if let last = ranges.last, last.upperBound == element {
        ranges[ranges.count - 1] = last.lowerBound..<element + 1
      } else {
        ranges.append(element..<element + 1)
      }
    }
    operations.append(.reset(ranges))
    if target.profile.hasSeparateOutBuffer {
      for range in ranges { for element in range { followsAcc[element] = false } }
    }
  }

  private mutating func markResults(_ kernel: ArraySlice<MicroOp>, _ l: LoopNest) {
    guard target.profile.hasSeparateOutBuffer else { return }
    destinations(kernel, l).forEach { followsAcc[$0] = true }
  }

  private mutating func alu(_ alu: ALU) throws {
    let l = alu.loops
    let kernel = try kernel(l)
    let top = maximum(kernel)
    try check(.acc, top.dst, l, l.dstFactorOut, l.dstFactorIn)
    let isTensor = alu.operand == .accumulator
    if isTensor || target.profile.immediateOperand == .src {
      try check(.acc, top.src, l, l.srcFactorOut, l.srcFactorIn)
    }
    if alu.opcode == .mul && !target.profile.hasMultiply { throw Unsuitable() }
    if target.profile.joinsALUSourceFields && top.wgt != 0 { throw Unsuitable() }
    let index = try aluList(kernel, l, isTensor: isTensor)
    switch alu.operand {
    case .immediate(let value):
      appendImmediate(index, immediate(alu.opcode, value))
    case .accumulator: operations.append(.aluTensor(index, operation: tensorOperation(alu)))
    }
    markResults(kernel, l)
  }

  private mutating func aluList(
    _ kernel: ArraySlice<MicroOp>, _ l: LoopNest, isTensor: Bool
  ) throws -> Int {
    let key = LoopKey(microOps: Array(kernel), loops: l.moved, isTensor: isTensor)
    if let known = aluIndices[key] { return known }
    guard l.stepCount <= GemmPlan.elementsMax else { throw Unsuitable() }
    try spend(kernel.count + 2 * l.stepCount)
    let lanes = target.configuration.batch * target.configuration.block
    let readsDst = !isTensor && target.profile.immediateOperand == .dst
    var (dst, src) = ([Int32](), [Int32]())
    for out in 0..<l.iterOut {
      for `in` in 0..<l.iterIn {
        for microOp in kernel {
          dst.append(Int32((microOp.dst + out * l.dstFactorOut + `in` * l.dstFactorIn) * lanes))
          src.append(Int32((microOp.src + out * l.srcFactorOut + `in` * l.srcFactorIn) * lanes))
        }
      }
    }
    if readsDst { src = dst }
    let index = alus.count
    alus.append(
      FastOperation.ALUList(
        dst: dst, src: src, isInPlace: src == dst && Set(dst).count == dst.count))
    aluIndices[key] = index
    return index
  }

  /// Several immediates on the same destinations become one pass.
  private mutating func appendImmediate(_ index: Int, _ immediate: FastOperation.Immediate) {
    if case .aluImmediate(let last, let chain)? = operations.last, last == index,
      alus[last].isInPlace
    {
      operations[operations.count - 1] = .aluImmediate(last, chain + [immediate])
    } else {
      operations.append(.aluImmediate(index, [immediate]))
    }
  }

  /// What the profile makes of an immediate (section 3.5).
  private func immediate(_ opcode: ALUOpcode, _ value: Int) -> FastOperation.Immediate {
    func make(_ code: vta_alu_op, _ value: Int) -> FastOperation.Immediate {
      FastOperation.Immediate(operation: Int32(code.rawValue), value: Int32(value))
    }
    switch opcode {
    case .min: return make(VTA_ALU_MIN, value)
    case .max: return make(VTA_ALU_MAX, value)
    case .add: return make(VTA_ALU_ADD, value)
    case .mul: return make(VTA_ALU_MUL, value)
    case .shr:
      var amount = value
      if target.profile.shiftRule == .signedFiveBits { amount = ((value + 16) & 31) - 16 }
      return amount >= 0 ? make(VTA_ALU_SHR, amount & 31) : make(VTA_ALU_SHL, -amount & 31)
    }
  }

  private func tensorOperation(_ alu: ALU) -> Int32 {
    let code =
      switch alu.opcode {
      case .min: VTA_ALU_MIN
      case .max: VTA_ALU_MAX
      case .add: VTA_ALU_ADD
      case .mul: VTA_ALU_MUL
      case .shr:
        switch target.profile.shiftRule {
        case .signOfAmount: VTA_ALU_SHR
        case .signedFiveBits: VTA_ALU_SHR_FIVE_BITS
        case .immediateBit15: alu.immediateField >= 0 ? VTA_ALU_SHR_MASKED : VTA_ALU_SHL_NEGATED
        }
      }
    return Int32(code.rawValue)
  }
}

extension LoopNest {
  /// The nest without its place in the micro-op buffer.
  fileprivate var moved: LoopNest {
    var nest = self
    nest.uopEnd -= nest.uopBegin
    nest.uopBegin = 0
    return nest
  }
}
