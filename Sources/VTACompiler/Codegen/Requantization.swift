internal import VTA
internal import VTAModule

/// `clip((leak(acc + bias) + rounding) >> shift, low, high)` with what every profile has: ADD and SHR with tensor operands (amounts
/// 0…15), MIN and MAX with immediates. An arithmetic shift splits exactly: `x >> (a + b) = (x >> a) >> b`.
struct Requantization {
  private let bias: [Int32]?
  /// Amounts per channel, of passes that have different ones; each at most 15.
  private let shiftPasses: [[Int32]]
  /// Amounts of passes that are the same for all channels.
  private let shiftImmediates: [Int]
  private let leak: [Int]
  /// Behind a leak: half an output step, per channel or for all.
  private let rounding: [Int32]?
  private let roundingImmediate: Int
  private let low: Int
  private let high: Int
  let blocks: Int

  init(_ layer: Accumulate, _ configuration: HardwareConfiguration) {
    bias = layer.bias.contains { $0 != 0 } ? layer.bias : nil
    leak = layer.leak
    let halves = layer.shift.map { layer.leak.isEmpty ? 0 : (1 << $0) >> 1 }
    let isSame = halves.allSatisfy { $0 == halves[0] && Limits.immediate.contains($0) }
    roundingImmediate = isSame ? halves[0] : 0
    rounding = isSame ? nil : halves.map { Int32($0) }
    low = layer.low
    high = layer.high
    blocks = (layer.bias.count + configuration.block - 1) / configuration.block
    let step = Limits.portableShiftOperand.upperBound
    var rest = layer.shift
    var passes: [[Int32]] = []
    var immediates: [Int] = []
    while rest.contains(where: { $0 != 0 }) {
      let amounts = rest.map { min($0, step) }
      if let first = amounts.first, amounts.allSatisfy({ $0 == first }) {
        immediates.append(first)
      } else {
        passes.append(amounts.map { Int32($0) })
      }
      rest = zip(rest, amounts).map { $0 - $1 }
    }
    shiftPasses = passes
    shiftImmediates = immediates
  }

  /// Accumulator elements that the constants of one output block take.
  var tilesPerBlock: Int { constants.count }

  /// ALU instructions over a tile.
  var passCount: Int {
    constants.count + (leak.isEmpty ? 0 : 2 * leak.count + 1) + (roundingImmediate == 0 ? 0 : 1)
      + shiftImmediates.count + 2
  }

  /// How many times the tile of sums has to fit into the accumulator.
  var tileCopies: Int { leak.isEmpty ? 1 : 2 }

  /// In the order of use.
  private var constants: [[Int32]] { [bias, rounding].compactMap { $0 } + shiftPasses }

  /// All constants: per output block the bias, the rounding, then the amounts of each pass.
  func tiles(_ image: ConstantImage) -> [UInt8] {
    guard let first = constants.first else { return [] }
    let images = constants.map { image.accumulatorTiles($0) }
    let tile = image.accumulatorTiles(first).count / blocks
    return (0..<blocks).flatMap { block in
      images.flatMap { $0[block * tile..<(block + 1) * tile] }
    }
  }

  /// The ALU instructions over `blocks × pixels` accumulators; returns the last.
  ///
  /// - Parameter copy: with a leak, as many accumulators, all 0.
  func emit(
    base: Int, copy: Int, constants: Int, blocks: Int, pixels: Int, _ builder: inout ProgramBuilder
  ) -> ProgramBuilder.Producer? {
    var last: ProgramBuilder.Producer?
    var source = constants
    func withConstants(_ opcode: ALUOpcode) {
      last = builder.compute(
        .alu(opcode, .accumulator),
        [
          NestDimension(extent: blocks, dst: pixels, src: tilesPerBlock),
          NestDimension(extent: pixels, dst: 1, src: 0),
        ], base: MicroOp(dst: base, src: source))
      source += 1
    }
    func withTile(_ opcode: ALUOpcode, _ target: Int, _ source: Int) {
      last = builder.compute(
        .alu(opcode, .accumulator), [NestDimension(extent: blocks * pixels, dst: 1, src: 1)],
        base: MicroOp(dst: target, src: source))
    }
    func withImmediate(_ opcode: ALUOpcode, _ value: Int, at target: Int) {
      last = builder.compute(
        .alu(opcode, .immediate(value)), [NestDimension(extent: blocks * pixels, dst: 1, src: 1)],
        base: MicroOp(dst: target, src: target))
    }
    if bias != nil { withConstants(.add) }
    for amount in leak {
      withTile(.add, copy, base)
      withImmediate(.shr, amount, at: copy)
    }
    if !leak.isEmpty { withTile(.max, base, copy) }
    if rounding != nil { withConstants(.add) }
    if roundingImmediate != 0 { withImmediate(.add, roundingImmediate, at: base) }
    for _ in shiftPasses { withConstants(.shr) }
    for amount in shiftImmediates { withImmediate(.shr, amount, at: base) }
    withImmediate(.min, high, at: base)
    withImmediate(.max, low, at: base)
    return last
  }
}
