package import VTA

/// A random program that looks like layers of a network, tile after tile, with a liberty here and there: accumulators that
/// are loaded instead of reset, values that leave the usual order of bias, shift and clip, stores over inputs.
///
/// Data is random; equal seeds give equal programs. Tokens order most of what depends on each other, not all: which order comes
/// out is the same for all simulators.
package struct LayerProgram {
  package let target: Target
  package let words: [InstructionWords]
  package let instructionAddress: UInt64 = 0x100_0000

  private static let constants: UInt64 = 0x10_0000
  private static let microOps: UInt64 = 0x20_0000
  private static let data: UInt64 = 0x40_0000
  private static let dataBytes = 1 << 16
  private let constantBytes: [UInt8]
  private let microOpWords: [UInt32]
  private let dataContents: [UInt8]

  /// Names of the configurations that programs have, the ones of the recordings.
  package static let configurations = [
    "1x16_i8w8a32_15_15_18_17", "1x16_i8w4a32_15_15_17_17", "1x32_i8w8a32_15_15_18_17",
    "1x8_i8w8a32_15_14_16_16", "2x16_i4w4a32_15_14_17_18", "4x16_i8w8a32_15_16_18_18",
    "1x4_i8w8a32_15_13_13_15",
  ]

  /// - Throws: ``ConfigurationError`` if the profile's hardware can't have this shape.
  ///
  /// - Parameter isPooled: every tile ends in a maximum over its accumulators; otherwise some do.
  package init(
    _ profile: HardwareProfile, _ configuration: HardwareConfiguration, seed: UInt64, isPooled: Bool = false
  ) throws {
    target = try Target(name: "random", configuration: configuration, profile: profile)
    var random = SeededGenerator(seed: seed)
    constantBytes = (0..<1 << 16).map { _ in
      [UInt8(0), 0x80, 0x7F][Int.random(in: 0...2, using: &random)]
        &+ (Int.random(in: 0...3, using: &random) > 0 ? UInt8.random(in: 0...255, using: &random) : 0)
    }
    dataContents = (0..<Self.dataBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
    var writer = Writer(target: target, random: random, isPooled: isPooled)
    for _ in 0..<Int.random(in: 1...6, using: &random) { writer.tile() }
    let result = writer.builder.finish()
    let set = try InstructionSet(configuration: configuration, revision: target.profile.revision)
    var instructions = result.instructions
    for relocation in result.relocations {
      let base = [Self.constants, Self.microOps, Self.data][relocation.location.region]
      instructions[relocation.instruction].place(
        at: base + relocation.location.byteOffset, configuration)
    }
    words = try instructions.map { try set.encode($0) }
    microOpWords = try result.microOps.map { try set.encode($0) }
  }

  package func memory() throws -> SimulatedMemory {
    let memory = SimulatedMemory()
    func map(_ address: UInt64, _ bytes: [UInt8]) throws {
      try memory.map(address: address, byteCount: UInt64(max(bytes.count, 1)))
      try memory.withMutableBytes(at: address, count: bytes.count) { $0.copyBytes(from: bytes) }
    }
    try map(Self.constants, constantBytes)
    try map(Self.data, dataContents)
    try map(
      Self.microOps,
      microOpWords.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(8 * $0)) } })
    var stream: [UInt8] = []
    for word in words { word.append(to: &stream) }
    try map(instructionAddress, stream)
    return memory
  }

  /// What the program may have changed.
  package func result(_ memory: SimulatedMemory) throws -> [UInt8] {
    try memory.withBytes(at: Self.data, count: Self.dataBytes) { Array($0) }
  }

  package func isConstant(_ range: Range<UInt64>) -> Bool {
    !range.overlaps(Self.data..<Self.data + UInt64(Self.dataBytes))
  }
}

extension Instruction {
  fileprivate mutating func place(at address: UInt64, _ c: HardwareConfiguration) {
    switch operation {
    case .load(var transfer):
      transfer.dramBase = UInt32(address / UInt64(c.elementBytes(transfer.memory)))
      self = Instruction(.load(transfer), flags)
    case .store(var transfer):
      transfer.dramBase = UInt32(address / UInt64(c.elementBytes(.out)))
      self = Instruction(.store(transfer), flags)
    case .gemm, .alu, .finish: break
    }
  }
}

extension LayerProgram {
  /// Emits tiles; regions are constants, micro-ops and data, in this order.
  private struct Writer {
    let target: Target
    var random: SeededGenerator
    var builder: ProgramBuilder
    private var last: ProgramBuilder.Producer?
    /// Whether constants for all tiles lie at the end of ACC.
    private var hasResidents = false
    private static let residents = 8
    /// Whether all that a tile reads was loaded for it, and weights are constant, as in compiled programs.
    private let isTame: Bool
    private let isPooled: Bool

    private var c: HardwareConfiguration { target.configuration }

    init(target: Target, random: SeededGenerator, isPooled: Bool) {
      self.target = target
      self.isPooled = isPooled
      var random = random
      isTame = Bool.random(using: &random)
      self.random = random
      builder = ProgramBuilder(target: target, microOpRegion: 1)
    }

    private mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }
    private mutating func chance(_ one: Int) -> Bool { below(one) == 0 }
    private mutating func liberty(_ one: Int) -> Bool { !isTame && chance(one) }

    /// What an instruction waits for: nearly always all that came before it.
    private mutating func before() -> [ProgramBuilder.Producer?] { liberty(40) ? [] : [last] }

    private mutating func location(_ region: Int, bytes: Int, of elementBytes: Int) -> ProgramBuilder.Location
    {
      let room = (LayerProgram.dataBytes - bytes) / elementBytes
      // Few places, so that programs meet.
      let element = chance(2) ? below(max(1, room)) : below(max(1, min(room, 8)))
      return ProgramBuilder.Location(region: region, byteOffset: UInt64(element * elementBytes))
    }

    mutating func tile() {
      let (height, width, outputs) = (1 + below(4), 1 + below(5), 1 + below(3))
      let pixels = height * width
      let size = outputs * pixels
      let capacity = c.depth(.acc) - (liberty(9) ? 0 : Self.residents)
      guard size + outputs * 3 + 2 <= capacity else { return }
      let base = chance(3) ? below(capacity - size - outputs * 3) : 0
      let copy = base + size + outputs
      begin(base, size)
      for _ in 0..<1 + below(2) { term(base, height, width, outputs) }
      if chance(3) { applyConstants(base, pixels, outputs) }
      if chance(4) && copy + size < capacity { applyCopy(base, copy, size) }
      requantize(base, pixels, outputs)
      // Sums that are added to results of the ALU, as residual ones are.
      if chance(3) {
        for _ in 0..<1 + below(2) { term(base, height, width, outputs) }
        requantize(base, pixels, outputs)
      }
      if isPooled || chance(6) { return pool(base, height, width, outputs) }
      for _ in 0..<(chance(6) ? 2 : 1) { store(base, height, width, outputs) }
      if chance(8) { requantize(base, pixels, outputs) }
      if chance(8) { store(base, height, width, outputs) }
    }

    private mutating func begin(_ base: Int, _ size: Int) {
      if chance(6) {
        let element = c.elementBytes(.acc)
        last = builder.load(
          Transfer(memory: .acc, sramBase: base, ySize: 1, xSize: size, xStride: size),
          from: location(chance(4) ? 2 : 0, bytes: size * element, of: element), after: before())
      } else if !chance(8) {
        last = builder.compute(
          .reset, [NestDimension(extent: size, dst: 1, src: 0)], base: MicroOp(dst: base, src: 0),
          after: before())
      }
    }

    /// A convolution's part of the tile.
    private mutating func term(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
      let (kernelHeight, kernelWidth, inputs, stride) = (
        1 + below(3), 1 + below(3), 1 + below(3), 1 + below(2)
      )
      let windowHeight = (height - 1) * stride + kernelHeight
      let windowWidth = (width - 1) * stride + kernelWidth
      let area = windowHeight * windowWidth
      let taps = kernelHeight * kernelWidth
      guard inputs * area <= c.depth(.inp), outputs * inputs * taps <= c.depth(.wgt) else { return }
      let inputBase = chance(2) ? 0 : below(c.depth(.inp) - inputs * area + 1)
      let weightBase = chance(2) ? 0 : below(c.depth(.wgt) - outputs * inputs * taps + 1)
      for input in 0..<inputs where !liberty(60) {
        let isPadded = windowHeight > 2 && windowWidth > 2 && chance(3)
        let (top, left) = isPadded ? (below(2), below(2)) : (0, 0)
        let (bottom, right) = isPadded ? (below(2), below(2)) : (0, 0)
        let rows = windowHeight - top - bottom, columns = windowWidth - left - right
        let element = c.elementBytes(.inp)
        let pitch = columns + below(3)
        last = builder.load(
          Transfer(
            memory: .inp, sramBase: inputBase + input * area, ySize: rows, xSize: columns, xStride: pitch,
            yPad0: top, yPad1: bottom, xPad0: left, xPad1: right),
          from: location(2, bytes: rows * pitch * element, of: element), after: before())
      }
      let count = outputs * inputs * taps
      let element = c.elementBytes(.wgt)
      if count * element < LayerProgram.dataBytes && !liberty(10) {
        last = builder.load(
          Transfer(memory: .wgt, sramBase: weightBase, ySize: 1, xSize: count, xStride: count),
          from: location(liberty(12) ? 2 : 0, bytes: count * element, of: element), after: before())
      }
      last = builder.compute(
        .gemm,
        [
          NestDimension(extent: outputs, dst: height * width, src: 0, wgt: inputs * taps),
          NestDimension(extent: inputs, dst: 0, src: area, wgt: taps),
          NestDimension(extent: kernelHeight, dst: 0, src: windowWidth, wgt: kernelWidth),
          NestDimension(extent: kernelWidth, dst: 0, src: 1, wgt: 1),
          NestDimension(extent: height, dst: width, src: stride * windowWidth),
          NestDimension(extent: width, dst: 1, src: stride),
        ], base: MicroOp(dst: base, src: inputBase, wgt: weightBase), after: before())
    }

    /// The maximum over windows of a tile, mostly as compiled programs have it, and its store.
    private mutating func pool(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
      let pixels = height * width
      // Without it, values beyond int8 are compared.
      if !chance(6) {
        alu(.min, .immediate(chance(6) ? 200 : 127), outputs, pixels, base, base)
        alu(.max, .immediate(chance(6) ? -200 : -128), outputs, pixels, base, base)
      }
      let (kernelHeight, kernelWidth, stride) = (1 + below(3), 1 + below(3), 1 + below(2))
      let (top, left) = (below(kernelHeight), below(kernelWidth))
      let rows = (height + top - 1) / stride + 1, columns = (width + left - 1) / stride + 1
      // Behind the constants; or over the values themselves, which later windows find changed.
      let result = chance(9) && rows * columns <= pixels ? base : base + (outputs * pixels) + outputs
      guard result + outputs * rows * columns <= c.depth(.acc) else { return }
      if result != base {
        if !chance(9) {
          last = builder.compute(
            .reset, [NestDimension(extent: outputs * rows * columns, dst: 1, src: 0)],
            base: MicroOp(dst: result, src: 0), after: before())
        }
        let start = chance(5) ? below(600) - 300 : -128
        alu(chance(9) ? .min : .add, .immediate(start), outputs, rows * columns, result, result)
      }
      let odd = chance(6) ? below(kernelHeight * kernelWidth) : -1
      for tap in 0..<kernelHeight * kernelWidth {
        let (y, x) = (tap / kernelWidth - top, tap % kernelWidth - left)
        // Windows over borders leave the pixels beyond them out, but for some that take others' instead.
        let isBeyond = liberty(30)
        let ownRows = (0..<rows).filter { isBeyond || (0..<height).contains($0 * stride + y) }
        let ownColumns = (0..<columns).filter { isBeyond || (0..<width).contains($0 * stride + x) }
        guard let row = ownRows.first, let column = ownColumns.first else { continue }
        let source = base + (row * stride + y) * width + column * stride + x
        let end =
          source + (outputs - 1) * pixels + (ownRows.count - 1) * stride * width
          + (ownColumns.count - 1) * stride
        guard source >= 0, end < c.depth(.acc) else { continue }
        last = builder.compute(
          .alu(tap == odd ? operation() : .max, .accumulator),
          [
            NestDimension(extent: outputs, dst: rows * columns, src: pixels),
            NestDimension(extent: ownRows.count, dst: columns, src: stride * width),
            NestDimension(extent: ownColumns.count, dst: 1, src: stride),
          ], base: MicroOp(dst: result + row * columns + column, src: source), after: before())
        if chance(12) {
          let bound = chance(3) ? 127 : below(300) - 150
          alu(chance(2) ? .min : .max, .immediate(bound), outputs, rows * columns, result, result)
        }
      }
      if !chance(4) {
        alu(.min, .immediate(chance(4) ? below(200) : 127), outputs, rows * columns, result, result)
      }
      store(result, rows, columns, outputs)
      if chance(9) { store(base, height, width, outputs) }
    }

    private mutating func requantize(_ base: Int, _ pixels: Int, _ outputs: Int) {
      let size = outputs * pixels
      let constants = base + size
      if chance(2) {
        let element = c.elementBytes(.acc)
        last = builder.load(
          Transfer(memory: .acc, sramBase: constants, ySize: 1, xSize: outputs, xStride: outputs),
          from: location(0, bytes: outputs * element, of: element), after: before())
        alu(chance(3) ? .shr : .add, .accumulator, outputs, pixels, base, constants, sourceStep: 1)
      }
      for _ in 0..<below(3) {
        switch below(8) {
        case 0: alu(.add, .immediate(below(4000) - 2000), outputs, pixels, base, base)
        case 1: alu(.min, .accumulator, outputs, pixels, base, base)
        case 2 where target.profile.hasMultiply:
          alu(.mul, .immediate(below(9) - 4), outputs, pixels, base, base)
        case 3: alu(.max, .immediate(below(99) - 50), outputs, pixels, base, base)
        default: alu(.shr, .immediate(below(12) - (chance(9) ? 3 : 0)), outputs, pixels, base, base)
        }
      }
      if !chance(4) {
        alu(.min, .immediate(127), outputs, pixels, base, base)
        alu(.max, .immediate(chance(2) ? 0 : -128), outputs, pixels, base, base)
      }
    }

    private mutating func operation() -> ALUOpcode {
      let all: [ALUOpcode] =
        target.profile.hasMultiply ? [.add, .add, .mul, .min, .max] : [.add, .add, .min, .max]
      return all[below(all.count)]
    }

    /// Constants per block of outputs that stay where they are for many tiles; some for a part of the pixels.
    private mutating func applyConstants(_ base: Int, _ pixels: Int, _ outputs: Int) {
      let first = c.depth(.acc) - Self.residents
      if !hasResidents || chance(6) {
        hasResidents = true
        let element = c.elementBytes(.acc)
        last = builder.load(
          Transfer(
            memory: .acc, sramBase: first, ySize: 1, xSize: Self.residents, xStride: Self.residents),
          from: location(0, bytes: Self.residents * element, of: element), after: before())
      }
      for _ in 0..<1 + below(3) {
        let part = chance(2) ? below(pixels) : 0
        last = builder.compute(
          .alu(chance(5) ? .shr : operation(), .accumulator),
          [
            NestDimension(extent: outputs, dst: pixels, src: 1),
            NestDimension(extent: pixels - part, dst: 1, src: 0),
          ], base: MicroOp(dst: base + part, src: first + below(Self.residents - outputs + 1)),
          after: before())
      }
    }

    /// A second number per output, made of the first and joined with it.
    private mutating func applyCopy(_ base: Int, _ copy: Int, _ size: Int) {
      func dimension(_ source: Int) -> [NestDimension] { [NestDimension(extent: size, dst: 1, src: source)] }
      last = builder.compute(
        .reset, dimension(0), base: MicroOp(dst: copy, src: 0), after: before())
      for _ in 0..<1 + below(3) {
        // Of a neighbour, in some programs that have it.
        let shift = chance(6) ? 1 : 0
        last = builder.compute(
          .alu(.add, .accumulator), dimension(1), base: MicroOp(dst: copy, src: base + shift), after: before()
        )
        if chance(2) { alu(.shr, .immediate(below(9)), 1, size, copy, copy) }
        if chance(3) { alu(operation(), .immediate(below(300) - 150), 1, size, copy, copy) }
        if chance(3) {
          last = builder.compute(
            .alu(operation(), .accumulator), dimension(1), base: MicroOp(dst: base, src: copy),
            after: before())
        }
      }
      last = builder.compute(
        .alu(operation(), .accumulator), dimension(1), base: MicroOp(dst: base, src: copy), after: before())
    }

    /// - Parameter sourceStep: 1: each block of outputs has one source; 0: each accumulator is its own.
    private mutating func alu(
      _ opcode: ALUOpcode, _ operand: ALU.Operand, _ outputs: Int, _ pixels: Int, _ base: Int, _ source: Int,
      sourceStep: Int = 0
    ) {
      let isOwn = sourceStep == 0
      last = builder.compute(
        .alu(opcode, operand),
        [
          NestDimension(extent: outputs, dst: pixels, src: isOwn ? pixels : sourceStep),
          NestDimension(extent: pixels, dst: 1, src: isOwn ? 1 : 0),
        ], base: MicroOp(dst: base, src: source), after: before())
    }

    private mutating func store(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
      let element = c.elementBytes(.out)
      if chance(3) {
        for output in 0..<outputs {
          let pitch = width + below(3)
          last = builder.store(
            Transfer(
              memory: .out, sramBase: base + output * height * width, ySize: height, xSize: width,
              xStride: pitch), to: location(2, bytes: height * pitch * element, of: element), after: before())
        }
      } else {
        let size = height * width
        let pitch = size + below(3)
        last = builder.store(
          Transfer(memory: .out, sramBase: base, ySize: outputs, xSize: size, xStride: pitch),
          to: location(2, bytes: outputs * pitch * element, of: element), after: before())
      }
    }
  }
}
