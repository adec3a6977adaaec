internal import VTA
internal import VTAModule

/// `clip((leak(acc + bias) + rounding) >> shift, low, high)`, zero points among bias and rounding, with what every profile has: ADD and SHR with tensor operands (amounts
/// 0…15), MIN and MAX with immediates. An arithmetic shift splits exactly: `x >> (a + b) = (x >> a) >> b`.
struct Requantization {
  private let bias: [BiasPart]
  /// Amounts per channel, of passes that have different ones; each at most 15.
  private let shiftPasses: [[Int32]]
  /// Amounts of passes that are the same for all channels.
  private let shiftImmediates: [Int]
  private let leak: [Int]
  private let multiplier: Multiplier?
  private let roundsToEven: Bool
  /// What is added behind the first shift, where the bias does not hold it.
  private let addend: Int
  private let lateShift: Int
  /// Behind a leak: half an output step and the zero point, per channel or for all.
  private let rounding: [Int32]?
  private let roundingImmediate: Int
  private let low: Int
  private let high: Int
  let blocks: Int

  init(_ layer: Accumulate, output: Int, _ graph: QuantizedGraph, _ configuration: HardwareConfiguration) {
    bias = BiasPart.parts(layer, output: output, graph).filter { part in
      part.constants.contains { $0.contains { $0 != 0 } }
    }
    leak = layer.leak
    multiplier = layer.multiplier
    roundsToEven = layer.roundsToEven
    lateShift = layer.lateShift
    // Rounding just before a shift can hold the zero point behind it.
    let hasAddend = layer.roundsToEven || (layer.roundsLate && layer.terms.contains(where: \.isLate))
    addend = hasAddend ? layer.addend(output: output, graph) : 0
    let zeroPoint = hasAddend ? 0 : graph.values[output].zeroPoint
    let halves = layer.shift.map {
      layer.roundsWithBias ? 0 : ((1 << $0) >> 1) + zeroPoint << $0
    }
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

  /// A shift in parts that every accelerator takes.
  private static func portable(_ amount: Int) -> [Int] {
    let step = Limits.portableShiftOperand.upperBound
    return stride(from: 0, to: amount, by: step).map { min(step, amount - $0) }
  }

  /// A sum in parts that immediates hold.
  private static func immediates(_ sum: Int) -> [Int] {
    let limits = Limits.immediate
    var (rest, parts) = (sum, [Int]())
    while rest != 0 {
      parts.append(min(max(rest, limits.lowerBound), limits.upperBound))
      rest -= parts[parts.count - 1]
    }
    return parts
  }

  /// Accumulator elements that the constants of one output block take.
  var tilesPerBlock: Int { constants.count }

  /// ALU instructions over a tile.
  var passCount: Int {
    bias.count + (multiplier == nil ? 0 : 4) + (rounding == nil ? 0 : 1) + shiftPasses.count
      + (leak.isEmpty ? 0 : 2 * leak.count + 1) + (roundingImmediate == 0 ? 0 : 1)
      + shiftImmediates.count + 2 + (roundsToEven ? 8 + shiftPasses.count + shiftImmediates.count : 0)
      + Self.immediates(addend).count + Self.portable(lateShift).count
  }

  /// How many times the tile of sums has to fit into the accumulator.
  var tileCopies: Int { leak.isEmpty && !roundsToEven ? 1 : 2 }

  /// In the order of use.
  private var constants: [[Int32]] {
    let factors = multiplier.map { [$0.limit, $0.limit.map { -$0 }, $0.factor] } ?? []
    return bias.flatMap(\.constants) + factors + (rounding.map { [$0] } ?? []) + shiftPasses
  }

  /// All constants: per output block the bias, the rounding, then the amounts of each pass.
  func tiles(_ image: ConstantImage) -> [UInt8] {
    guard let first = constants.first else { return [] }
    let images = constants.map { image.accumulatorTiles($0) }
    let tile = image.accumulatorTiles(first).count / blocks
    return (0..<blocks).flatMap { block in
      images.flatMap { $0[block * tile..<(block + 1) * tile] }
    }
  }

  /// The ALU instructions over `blocks × rows × columns` accumulators up to the first shift; returns the last.
  ///
  /// - Parameter copy: with a leak, as many accumulators, all 0.
  func emitShift(
    base: Int, copy: Int, constants: Int, blocks: Int, _ rows: Range<Int>, _ columns: Range<Int>,
    _ builder: inout ProgramBuilder
  ) -> ProgramBuilder.Producer? {
    var last: ProgramBuilder.Producer?
    var source = constants
    let pixels = rows.count * columns.count
    func withConstants(_ opcode: ALUOpcode, _ constant: Int, at target: Int) {
      last = builder.compute(
        .alu(opcode, .accumulator),
        [
          NestDimension(extent: blocks, dst: pixels, src: tilesPerBlock),
          NestDimension(extent: pixels, dst: 1, src: 0),
        ], base: MicroOp(dst: target, src: constant))
    }
    func withConstants(_ opcode: ALUOpcode) {
      withConstants(opcode, source, at: base)
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
    for part in bias {
      last = add(part, base: base, constants: source, blocks: blocks, rows, columns, &builder) ?? last
      source += part.constants.count
    }
    if let multiplier {
      for amount in Self.portable(multiplier.preShift) { withImmediate(.shr, amount, at: base) }
      withConstants(.min)
      withConstants(.max)
      withConstants(.mul)
    }
    for amount in leak {
      withTile(.add, copy, base)
      withImmediate(.shr, amount, at: copy)
    }
    if !leak.isEmpty { withTile(.max, base, copy) }
    if roundsToEven {
      // −1 where the quotient is even: its lowest bit, inverted, fills the word.
      withTile(.add, copy, base)
      let shifts = source + (rounding == nil ? 0 : 1)
      for index in shiftPasses.indices { withConstants(.shr, shifts + index, at: copy) }
      for amount in shiftImmediates { withImmediate(.shr, amount, at: copy) }
      withImmediate(.add, 1, at: copy)
      for amount in [-16, -15, 15, 15, 1] { withImmediate(.shr, amount, at: copy) }
      withTile(.add, base, copy)
    }
    if rounding != nil { withConstants(.add) }
    if roundingImmediate != 0 { withImmediate(.add, roundingImmediate, at: base) }
    for _ in shiftPasses { withConstants(.shr) }
    for amount in shiftImmediates { withImmediate(.shr, amount, at: base) }
    return last
  }

  /// What comes behind the first shift and the late terms, over `count` accumulators; returns the last instruction.
  func emitClip(base: Int, count: Int, _ builder: inout ProgramBuilder) -> ProgramBuilder.Producer {
    func withImmediate(_ opcode: ALUOpcode, _ value: Int) -> ProgramBuilder.Producer {
      builder.compute(
        .alu(opcode, .immediate(value)), [NestDimension(extent: count, dst: 1, src: 1)],
        base: MicroOp(dst: base, src: base))
    }
    for part in Self.immediates(addend) { _ = withImmediate(.add, part) }
    for amount in Self.portable(lateShift) { _ = withImmediate(.shr, amount) }
    _ = withImmediate(.min, high)
    return withImmediate(.max, low)
  }

  /// Adds constants to the positions of a tile that have them; returns the last instruction, `nil` for none.
  private func add(
    _ part: BiasPart, base: Int, constants: Int, blocks: Int, _ rows: Range<Int>, _ columns: Range<Int>,
    _ builder: inout ProgramBuilder
  ) -> ProgramBuilder.Producer? {
    var last: ProgramBuilder.Producer?
    let (rowPlaces, columnPlaces) = (part.places.rows, part.places.columns)
    let (ownRows, ownColumns) = (rowPlaces.indices(in: rows), columnPlaces.indices(in: columns))
    if ownRows.isEmpty || ownColumns.isEmpty { return nil }
    for same in SameWeights.parts(part.tileAt, width: part.width, ownRows, ownColumns) {
      let place =
        (rowPlaces.first + same.rows.lowerBound * rowPlaces.stride - rows.lowerBound) * columns.count
        + columnPlaces.first + same.columns.lowerBound * columnPlaces.stride - columns.lowerBound
      let isWhole = same.rows.count * same.columns.count == rows.count * columns.count
      let positions =
        isWhole
        ? [NestDimension(extent: rows.count * columns.count, dst: 1, src: 0)]
        : [
          NestDimension(extent: same.rows.count, dst: rowPlaces.stride * columns.count, src: 0),
          NestDimension(extent: same.columns.count, dst: columnPlaces.stride, src: 0),
        ]
      last = builder.compute(
        .alu(.add, .accumulator),
        [NestDimension(extent: blocks, dst: rows.count * columns.count, src: tilesPerBlock)] + positions,
        base: MicroOp(dst: base + place, src: constants + same.tile))
    }
    return last
  }
}
