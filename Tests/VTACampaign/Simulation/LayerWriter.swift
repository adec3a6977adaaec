import VTA

/// Emits the tiles of a ``LayerProgram``; regions are constants, micro-ops and data, in this order.
struct LayerWriter {
  let target: Target
  var random: SeededGenerator
  var builder: ProgramBuilder
  var last: ProgramBuilder.Producer?
  /// Whether all that a tile reads was loaded for it, and weights are constant, as in compiled programs.
  private let isTame: Bool
  private let isPooled: Bool
  /// Whether constants for all tiles lie at the end of ACC.
  private var hasResidents = false
  private static let residents = 8
  /// Inputs and weights of the last term, which the next ones may use again.
  private var window: Window?
  private var weights: Range<Int>?

  private struct Window {
    let (height, width): (Int, Int)
    let shape: Shape
    let base: Int
  }

  private struct Shape {
    var kernelHeight: Int
    var kernelWidth: Int
    let inputs: Int
    let stride: Int
  }

  var c: HardwareConfiguration { target.configuration }

  init(target: Target, random: SeededGenerator, isPooled: Bool) {
    self.target = target
    self.isPooled = isPooled
    var random = random
    isTame = Int.random(in: 0..<3, using: &random) > 0
    self.random = random
    builder = ProgramBuilder(target: target, microOpRegion: 1)
  }

  mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }
  mutating func chance(_ one: Int) -> Bool { below(one) == 0 }
  mutating func liberty(_ one: Int) -> Bool { !isTame && chance(one) }

  /// What an instruction waits for: nearly always all that came before it.
  mutating func before() -> [ProgramBuilder.Producer?] { liberty(40) ? [] : [last] }

  mutating func location(_ region: Int, bytes: Int, of elementBytes: Int) -> ProgramBuilder.Location {
    let room = max(1, (LayerProgram.dataBytes - bytes) / elementBytes + 1)
    // Few places, so that programs meet; lanes often from among the small ones.
    let first = region == 0 ? [0, room / 2, room / 2, room / 4][below(4)] : 0
    let element = chance(2) ? below(room) : first + below(min(room - first, 8))
    return ProgramBuilder.Location(region: region, byteOffset: UInt64(element * elementBytes))
  }

  /// One row, where the profile can sometimes with padding.
  mutating func load(_ memory: MemoryType, to base: Int, count: Int, from region: Int) {
    let element = c.elementBytes(memory)
    let padding = count > 2 && isPadded(memory) ? (below(2), below(2)) : (0, 0)
    let size = count - padding.0 - padding.1
    last = builder.load(
      Transfer(
        memory: memory, sramBase: base, ySize: 1, xSize: size, xStride: size, xPad0: padding.0,
        xPad1: padding.1),
      from: location(region, bytes: size * element, of: element), after: before())
  }

  private mutating func isPadded(_ memory: MemoryType) -> Bool {
    target.profile.paddedLoads.contains(memory) && chance(8)
  }

  mutating func compute(
    _ computation: ProgramBuilder.Computation, _ dimensions: [NestDimension], _ base: MicroOp
  ) {
    last = builder.compute(computation, dimensions, base: base, after: before())
  }

  mutating func tile() {
    if isPooled ? chance(3) : chance(8) { return poolInputs() }
    var (height, width, outputs) = (1 + below(4), 1 + below(5), 1 + below(3))
    if let window, chance(3) { (height, width) = (window.height, window.width) }
    let pixels = height * width
    let size = outputs * pixels
    let capacity = c.depth(.acc) - (liberty(9) ? 0 : Self.residents)
    guard size + outputs * 3 + 2 <= capacity else { return }
    let base = chance(3) ? below(capacity - size - outputs * 3) : 0
    let copy = base + size + outputs
    // Beyond the end: an error, which is the plain simulator's to report.
    if liberty(100) { begin(c.depth(.acc) - size + 1, size) }
    begin(base, size)
    // Of what no result has been written to yet.
    if chance(30) { store(base, height, width, outputs) }
    if chance(6) {
      for output in 0..<outputs { term(base + output * pixels, height, width, 1) }
    }
    for _ in 0..<1 + below(2) { term(base, height, width, outputs) }
    if chance(3) { applyConstants(base, pixels, outputs) }
    if chance(4) && copy + size < capacity {
      applyCopy(base, copy, size)
      // Sums for both of them.
      let both = 2 * outputs + 1
      if chance(12) && base + both * pixels <= capacity { term(base, height, width, both) }
      if chance(3) { alu(operation(), .accumulator, 1, size, base, copy) }
    }
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
      let memory = target.profile.hasAcc8BitLoad && chance(3) ? MemoryType.acc8bit : .acc
      load(memory, to: base, count: size, from: chance(3) ? 2 : 0)
    } else if !chance(8) {
      reset(base, size)
    }
  }

  mutating func reset(_ base: Int, _ size: Int) {
    compute(.reset, [NestDimension(extent: size, dst: 1, src: 0)], MicroOp(dst: base, src: 0))
  }

  /// A convolution's part of the tile.
  private mutating func term(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
    var shape = Shape(
      kernelHeight: 1 + below(3), kernelWidth: 1 + below(3), inputs: 1 + below(3), stride: 1 + below(2))
    var known: Window?
    if let window, window.height == height, window.width == width, chance(2) {
      (known, shape) = (window, window.shape)
      // A part of the taps.
      if chance(3) { shape.kernelWidth = 1 + below(shape.kernelWidth) }
      if chance(3) { shape.kernelHeight = 1 + below(shape.kernelHeight) }
    }
    let (kernelHeight, kernelWidth, inputs, stride) = (
      shape.kernelHeight, shape.kernelWidth, shape.inputs, shape.stride
    )
    let whole = known?.shape ?? shape
    let windowHeight = (height - 1) * stride + whole.kernelHeight
    let windowWidth = (width - 1) * stride + whole.kernelWidth
    let area = windowHeight * windowWidth
    let taps = kernelHeight * kernelWidth
    let count = outputs * inputs * taps
    guard inputs * area <= c.depth(.inp), count <= c.depth(.wgt) else { return }
    let inputBase = known?.base ?? (chance(2) ? 0 : below(c.depth(.inp) - inputs * area + 1))
    // In depthwise ones, each block of outputs has its own of the inputs; these may come in several loads to a task, which are
    // those that don't lie one behind the other.
    let isDepthwise = inputs >= outputs && chance(5)
    if known == nil {
      let isReversed = isDepthwise && chance(2) || liberty(20)
      for index in 0..<inputs where !liberty(60) {
        let input = isReversed ? inputs - 1 - index : index
        loadInputs(inputBase + input * area, windowHeight, windowWidth)
      }
      window = isReversed ? nil : Window(height: height, width: width, shape: shape, base: inputBase)
    }
    let weightBase: Int
    if let weights, weights.count >= count, chance(3) {
      weightBase = weights.lowerBound
    } else {
      weightBase = chance(2) ? 0 : below(c.depth(.wgt) - count + 1)
      if count * c.elementBytes(.wgt) < LayerProgram.dataBytes && !liberty(10) {
        load(.wgt, to: weightBase, count: count, from: liberty(12) ? 2 : 0)
        weights = weightBase..<weightBase + count
      }
    }
    compute(
      .gemm,
      [
        NestDimension(
          extent: outputs, dst: height * width, src: isDepthwise ? area : 0,
          wgt: isDepthwise ? taps : inputs * taps),
        NestDimension(extent: isDepthwise ? 1 : inputs, dst: 0, src: area, wgt: taps),
        NestDimension(extent: kernelHeight, dst: 0, src: windowWidth, wgt: kernelWidth),
        NestDimension(extent: kernelWidth, dst: 0, src: 1, wgt: 1),
        // Some rows share their last accumulator with the next.
        NestDimension(extent: height, dst: liberty(30) ? width - 1 : width, src: stride * windowWidth),
        NestDimension(extent: width, dst: 1, src: stride),
      ], MicroOp(dst: base, src: inputBase, wgt: weightBase))
  }

  /// A window of inputs, some with borders of zeros.
  mutating func loadInputs(_ base: Int, _ height: Int, _ width: Int) {
    let isPadded = height > 2 && width > 2 && chance(3)
    let (top, left) = isPadded ? (below(2), below(2)) : (0, 0)
    let (bottom, right) = isPadded ? (below(2), below(2)) : (0, 0)
    let rows = height - top - bottom, columns = width - left - right
    let element = c.elementBytes(.inp)
    let pitch = columns + below(3)
    last = builder.load(
      Transfer(
        memory: .inp, sramBase: base, ySize: rows, xSize: columns, xStride: pitch,
        yPad0: top, yPad1: bottom, xPad0: left, xPad1: right),
      from: location(2, bytes: rows * pitch * element, of: element), after: before())
  }

  mutating func requantize(_ base: Int, _ pixels: Int, _ outputs: Int) {
    let constants = base + outputs * pixels
    // Sums become as small as compiled programs make them, so that bounds decide about some and not about all.
    if chance(2) { alu(.shr, .immediate(6 + below(9)), outputs, pixels, base, base) }
    for _ in 0..<below(5) {
      // Some operations are those of a part of the blocks, or of the pixels of one.
      let first = chance(8) ? below(outputs) : 0
      let (base, outputs) = (base + first * pixels, chance(8) ? 1 : outputs - first)
      let pixels = outputs == 1 && chance(8) ? 1 + below(pixels) : pixels
      switch below(10) {
      case 0: alu(.add, .immediate(below(chance(2) ? 200 : 4000) - 100), outputs, pixels, base, base)
      case 1: alu(.min, .accumulator, outputs, pixels, base, base)
      case 2 where target.profile.hasMultiply:
        alu(.mul, .immediate(below(9) - 4), outputs, pixels, base, base)
      case 9 where chance(4):
        // From another accumulator, where the profile can; in place where not.
        for _ in 0..<1 + below(2) {
          let operand: ALU.Operand = chance(3) ? .accumulator : .immediate(below(200) - 100)
          alu([.add, .max][below(2)], operand, 1, outputs * pixels, base, base + 1)
        }
      case 3: alu(.max, .immediate(below(200) - 100), outputs, pixels, base, base)
      case 4: alu(.min, .immediate(below(200) - 100), outputs, pixels, base, base)
      case 5, 6:
        load(.acc, to: constants, count: outputs, from: chance(9) ? 2 : 0)
        let opcode = [ALUOpcode.shr, .add, .add, operation()][below(4)]
        alu(opcode, .accumulator, outputs, pixels, base, constants, sourceStep: 1)
      case 8 where chance(6):
        // Amounts of any sign and size, some twice to the same accumulators.
        for _ in 0..<2 {
          compute(
            .alu(.shr, .immediate(below(80) - 40)),
            [
              NestDimension(extent: 1 + below(2), dst: 0, src: 0),
              NestDimension(extent: pixels, dst: 1, src: 1),
            ],
            MicroOp(dst: base, src: base))
        }
      default: alu(.shr, .immediate(below(12) - (chance(9) ? 3 : 0)), outputs, pixels, base, base)
      }
    }
    if !chance(4) {
      alu(.min, .immediate(127), outputs, pixels, base, base)
      alu(.max, .immediate(chance(2) ? 0 : -128), outputs, pixels, base, base)
    }
  }

  mutating func operation() -> ALUOpcode {
    // Where there is no multiplication, it is an error.
    let hasMultiply = target.profile.hasMultiply || liberty(200)
    let all: [ALUOpcode] = hasMultiply ? [.add, .add, .mul, .min, .max] : [.add, .add, .min, .max]
    return all[below(all.count)]
  }

  /// Constants per block of outputs that stay where they are for many tiles; some for a part of the pixels.
  mutating func applyConstants(_ base: Int, _ pixels: Int, _ outputs: Int) {
    let first = c.depth(.acc) - Self.residents
    if !hasResidents || chance(6) {
      hasResidents = true
      load(.acc, to: first, count: Self.residents, from: chance(9) ? 2 : 0)
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

  /// A second number per output, made of the first and joined with it, mostly as rounding does that.
  private mutating func applyCopy(_ base: Int, _ copy: Int, _ size: Int) {
    func apply(_ opcode: ALUOpcode, to target: Int, from source: Int, count: Int) {
      compute(
        .alu(opcode, .accumulator), [NestDimension(extent: count, dst: 1, src: 1)],
        MicroOp(dst: target, src: source))
    }
    reset(copy, size)
    for _ in 0..<1 + below(3) {
      // In some programs each has a neighbour's, the last the first one's.
      let isShifted = size > 1 && chance(6)
      apply(.add, to: copy, from: isShifted ? base + 1 : base, count: isShifted ? size - 1 : size)
      if isShifted { apply(.add, to: copy + size - 1, from: base, count: 1) }
      if chance(2) { alu(.shr, .immediate(below(9)), 1, size, copy, copy) }
      if chance(3) { alu(operation(), .immediate(below(300) - 150), 1, size, copy, copy) }
      if chance(4) { alu(.shr, .immediate(below(5)), 1, size, base, base) }
      if chance(3) { apply(operation(), to: base, from: copy, count: size) }
      // Both by one instruction, or a part.
      if chance(12) { apply(operation(), to: base, from: base + size, count: min(2 * size, copy - base)) }
      if chance(12) { apply(operation(), to: copy, from: base, count: 1 + below(size)) }
    }
    apply(operation(), to: base, from: copy, count: size)
  }

  /// - Parameter sourceStep: 1: each block of outputs has one source; 0: each accumulator is its own.
  mutating func alu(
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

  mutating func store(_ base: Int, _ height: Int, _ width: Int, _ outputs: Int) {
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
