internal import VTA
internal import VTAModule

/// `clip((acc + bias) >> shift, low, high)` with what every profile has: ADD and SHR with tensor operands (amounts
/// 0…15), MIN and MAX with immediates. An arithmetic shift splits exactly: `x >> (a + b) = (x >> a) >> b`.
struct Requantization {
  private let bias: [Int32]?
  /// Amounts per channel, of passes that have different ones; each at most 15.
  private let shiftPasses: [[Int32]]
  /// Amounts of passes that are the same for all channels.
  private let shiftImmediates: [Int]
  private let low: Int
  private let high: Int
  let blocks: Int

  init(_ layer: Accumulate, _ configuration: HardwareConfiguration) {
    bias = layer.bias.contains { $0 != 0 } ? layer.bias : nil
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
  var tilesPerBlock: Int { (bias == nil ? 0 : 1) + shiftPasses.count }

  /// All constants: per output block the bias, then the amounts of each pass.
  func tiles(_ image: ConstantImage) -> [UInt8] {
    let kinds = (bias.map { [$0] } ?? []) + shiftPasses
    guard let first = kinds.first else { return [] }
    let images = kinds.map { image.accumulatorTiles($0) }
    let tile = image.accumulatorTiles(first).count / blocks
    return (0..<blocks).flatMap { block in
      images.flatMap { $0[block * tile..<(block + 1) * tile] }
    }
  }

  /// LOAD ACC of the constants of some output blocks; returns where they are.
  func load(
    _ outputs: Range<Int>, at base: Int, from offset: UInt64, region: Int,
    _ configuration: HardwareConfiguration, _ builder: inout ProgramBuilder
  ) -> Int {
    guard tilesPerBlock > 0 else { return base }
    let count = outputs.count * tilesPerBlock
    let first = UInt64(outputs.lowerBound * tilesPerBlock * configuration.elementBytes(.acc))
    builder.load(
      Transfer(memory: .acc, sramBase: base, ySize: 1, xSize: count, xStride: count),
      from: ProgramBuilder.Location(region: region, byteOffset: offset + first))
    return base
  }

  /// The ALU instructions over `blocks × pixels` accumulators; returns the last.
  func emit(
    base: Int, constants: Int, blocks: Int, pixels: Int, _ builder: inout ProgramBuilder
  ) -> ProgramBuilder.Producer? {
    var last: ProgramBuilder.Producer?
    var source = constants
    func withTensor(_ opcode: ALUOpcode) {
      last = builder.compute(
        .alu(opcode, .accumulator),
        [
          NestDimension(extent: blocks, dst: pixels, src: tilesPerBlock),
          NestDimension(extent: pixels, dst: 1, src: 0),
        ], base: MicroOp(dst: base, src: source))
      source += 1
    }
    func withImmediate(_ opcode: ALUOpcode, _ value: Int) {
      last = builder.compute(
        .alu(opcode, .immediate(value)), [NestDimension(extent: blocks * pixels, dst: 1, src: 1)],
        base: MicroOp(dst: base, src: base))
    }
    if bias != nil { withTensor(.add) }
    for _ in shiftPasses { withTensor(.shr) }
    for amount in shiftImmediates { withImmediate(.shr, amount) }
    withImmediate(.min, high)
    withImmediate(.max, low)
    return last
  }
}
