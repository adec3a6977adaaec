internal import VTA

/// Weight tiles of one term in the constant region.
struct TermTiles {
  let location: UInt64
  let isDense: Bool
  /// Of a dense term: per output block the input blocks whose tiles are there; the others are zero.
  var inputs: [Range<Int>] = []
  /// Of a dense term: per output block its first tile.
  var firstTiles: [Int] = []
  let rows: Int
  let columns: Int
  /// Distances between tiles of neighbouring blocks and taps of a depthwise term: zero where one tile serves all.
  let blockStep: Int
  let tapStep: Int
  /// Of a positional term: which of its tiles an output position takes, row-major; empty for others.
  var tileAt: [Int] = []
  /// Of a positional term: how many tiles it has.
  var count = 1
  /// Of a term whose tiles differ by block.
  var outputBlocks = 0

  func byteCount(_ configuration: HardwareConfiguration) -> Int {
    let perBlock = blockStep == 0 ? 0 : outputBlocks * blockStep
    let tiles = isDense ? inputs.reduce(0) { $0 + $1.count } * rows * columns : max(count, perBlock)
    return tiles * configuration.elementBytes(.wgt)
  }

  /// That every output block sees as many inputs at the same cost as the first.
  var hasSameInputs: Bool { inputs.allSatisfy { $0 == inputs.first } }
}

/// Weights of the terms of an ``Accumulate``, in the constant region and in the scratchpad.
extension LayerEmitter {
  /// - Parameter outputs: channels of the layer's result.
  mutating func placeWeights(_ term: AccumulateTerm, outputs: Int) -> TermTiles {
    let taps = term.kernel.height * term.kernel.width
    let inputs = graph.values[term.input].channels
    switch term.weights {
    case .dense(let values):
      return placeMatrix(GroupedWeights(values, groups: 1, outputs, inputs, taps), term)
    case .grouped(let values, let groups):
      let matrix = GroupedWeights(values, groups: groups, outputs, inputs, taps)
      guard matrix.isBlockDiagonal(configuration.block) else { return placeMatrix(matrix, term) }
      let bytes = (0..<blocks(outputs)).flatMap { constants.tiles(matrix, output: $0, inputs: $0..<$0 + 1) }
      return TermTiles(
        location: constants.place(bytes, .wgt), isDense: false, rows: term.kernel.height,
        columns: term.kernel.width, blockStep: taps, tapStep: 1, outputBlocks: blocks(outputs))
    case .depthwise(let values):
      let isUniform = values.allSatisfy { $0 == values.first }
      let isPointwise = taps == 1
      let block = configuration.block
      var bytes: [UInt8] = []
      for outputBlock in 0..<(isUniform ? 1 : blocks(inputs)) {
        for tap in 0..<(isUniform ? 1 : taps) {
          bytes += constants.diagonalTile { lane in
            let channel = isUniform ? 0 : outputBlock * block + lane
            return channel < inputs ? values[channel * taps + tap] : 0
          }
        }
      }
      return TermTiles(
        location: constants.place(bytes, .wgt), isDense: false, rows: term.kernel.height,
        columns: term.kernel.width, blockStep: isUniform ? 0 : taps,
        tapStep: isUniform || isPointwise ? 0 : 1, outputBlocks: blocks(inputs))
    case .positional(let values):
      let different = Set(values).sorted()
      let bytes = different.flatMap { value in constants.diagonalTile { _ in value } }
      let index = Dictionary(uniqueKeysWithValues: zip(different, different.indices))
      return TermTiles(
        location: constants.place(bytes, .wgt), isDense: false, rows: term.kernel.height,
        columns: term.kernel.width, blockStep: 0, tapStep: 0,
        tileAt: values.map { index[$0] ?? 0 }, count: different.count)
    }
  }

  /// Tiles of a matrix, without those of input blocks before the first and behind the last that an output block sees.
  private mutating func placeMatrix(_ matrix: GroupedWeights, _ term: AccumulateTerm) -> TermTiles {
    var bytes: [UInt8] = []
    var (inputs, firstTiles, count): ([Range<Int>], [Int], Int) = ([], [], 0)
    for output in 0..<blocks(matrix.outputs) {
      let seen = matrix.inputBlocks(seenBy: output, block: configuration.block)
      inputs.append(seen)
      firstTiles.append(count)
      count += seen.count * matrix.taps
      bytes += constants.tiles(matrix, output: output, inputs: seen)
    }
    return TermTiles(
      location: constants.place(bytes, .wgt), isDense: true, inputs: inputs, firstTiles: firstTiles,
      rows: term.kernel.height, columns: term.kernel.width, blockStep: 0, tapStep: 1)
  }

  /// Tiles of the scratchpad that a part of a term needs.
  func weightTiles(_ tiles: TermTiles, _ chunk: TermChunk) -> Int {
    if tiles.isDense {
      return chunk.outputs.count * chunk.inputs.count * chunk.taps.count * tiles.columns
    }
    return tiles.blockStep == 0 ? tiles.count : chunk.outputs.count * tiles.blockStep
  }

  /// The slot that holds the weights of a part of a term, loaded if no slot does.
  mutating func acquireWeights(
    _ chunk: TermChunk, _ tiles: TermTiles, firstOutput: Int, isLate: Bool
  ) throws(CodegenError) -> ScratchpadSlots.Lease {
    let element = UInt64(configuration.elementBytes(.wgt))
    let taps = tiles.rows * tiles.columns
    let first: Int
    var (rows, size, pitch) = (1, 1, 1)
    if tiles.isDense {
      let output = firstOutput + chunk.outputs.lowerBound
      let seen = tiles.inputs[output]
      first =
        tiles.firstTiles[output] + (chunk.inputs.lowerBound - seen.lowerBound) * taps
        + chunk.taps.lowerBound * tiles.columns
      rows = chunk.outputs.count
      size = chunk.inputs.count * chunk.taps.count * tiles.columns
      pitch = seen.count * taps
    } else {
      first = (firstOutput + chunk.outputs.lowerBound) * tiles.blockStep
      size = weightTiles(tiles, chunk)
      pitch = size
    }
    let location = ProgramBuilder.Location(
      region: constantRegion, byteOffset: tiles.location + UInt64(first) * element)
    let key = ScratchpadSlots.Key(
      region: constantRegion, byteOffset: location.byteOffset, shape: [rows, size, pitch])
    var slots = weights
    let lease = try slots.acquire(key, size: rows * size, isAside: isLate && rows * size == 1) {
      (base, after) throws(CodegenError) in
      try loadWeights(rows, size, pitch, base, location, after)
    }
    weights = slots
    return lease
  }

  private mutating func loadWeights(
    _ rows: Int, _ size: Int, _ pitch: Int, _ base: Int, _ location: ProgramBuilder.Location,
    _ after: [ProgramBuilder.Producer?]
  ) throws(CodegenError) -> ProgramBuilder.Producer {
    if pitch <= Limits.transferExtentMax {
      return builder.load(
        Transfer(memory: .wgt, sramBase: base, ySize: rows, xSize: size, xStride: pitch),
        from: location, after: after)
    }
    // The pitch of very deep kernels exceeds x_stride: one LOAD per row.
    let element = UInt64(configuration.elementBytes(.wgt))
    var last: ProgramBuilder.Producer?
    for row in 0..<rows {
      let start = ProgramBuilder.Location(
        region: location.region, byteOffset: location.byteOffset + UInt64(row * pitch) * element)
      last = builder.load(
        Transfer(memory: .wgt, sramBase: base + row * size, ySize: 1, xSize: size, xStride: size),
        from: start, after: after)
    }
    guard let last else {
      throw .layer(name: "", op: "", why: "a weight chunk has no rows")
    }
    return last
  }
}
