internal import VTA
internal import VTAModule

/// One part of a tile's sum that fits into the scratchpads at once.
struct TermChunk {
  let term: Int
  /// Output blocks within the tile, and input blocks of the tensor.
  let outputs: Range<Int>
  let inputs: Range<Int>
  /// Kernel rows.
  let taps: Range<Int>
}

/// ``Accumulate`` on the accelerator: per tile of outputs GEMM reset, the terms chunk by chunk, bias, shift, clip,
/// store. Bias and shift lie in the half of the accumulator behind the tile.
extension LayerEmitter {
  mutating func emit(
    _ layer: Accumulate, output: Int, step: QuantizedStep
  ) throws(CodegenError) {
    let value = graph.values[output]
    for term in layer.terms { try checkPadding(term.padding, step) }
    let tiles = layer.terms.map { placeWeights($0, outputs: value.channels) }
    let requantization = Requantization(layer, configuration)
    let location = constants.place(requantization.tiles(constants), .acc)
    let chosen = Tiling.best(
      outputBlocks: blocks(value.channels), rows: value.height, columns: value.width
    ) { cost(layer, tiles, $0, requantization, output: value) }
    guard let tiling = chosen else {
      throw .layer(
        name: step.name, op: step.op,
        why: "one output pixel's window does not fit into half a scratchpad of \(configuration.name)")
    }
    for outputs in Tiling.ranges(blocks(value.channels), tiling.outputBlocks) {
      for rows in Tiling.ranges(value.height, tiling.rows) {
        for columns in Tiling.ranges(value.width, tiling.columns) {
          try emitTile(
            layer, tiles, requantization, constantsAt: location, output: output, outputs, rows, columns)
        }
      }
    }
  }

  // MARK: Choosing tiles and chunks

  /// DRAM bytes of the layer under a tiling, an instruction counted as 64; `nil` if a tile does not fit.
  private func cost(
    _ layer: Accumulate, _ tiles: [TermTiles], _ tiling: Tiling, _ requantization: Requantization,
    output: QuantizedValue
  ) -> Int? {
    let pixels = tiling.rows * tiling.columns
    let constantTiles = requantization.tilesPerBlock * tiling.outputBlocks
    let sums = tiling.outputBlocks * pixels * requantization.tileCopies
    guard sums + constantTiles <= accumulators.capacity else { return nil }
    func parts(_ extent: Int, _ size: Int) -> Int { (extent + size - 1) / size }
    let pixelTiles = parts(output.height, tiling.rows) * parts(output.width, tiling.columns)
    let groups = Tiling.ranges(requantization.blocks, tiling.outputBlocks)
    // Where all outputs see the same inputs, the first group of output blocks stands for all.
    let isSame = zip(layer.terms, tiles).allSatisfy { $1.hasSameInputs }
    var total = 0
    for group in isSame ? [0..<tiling.outputBlocks] : groups {
      let tiling = Tiling(outputBlocks: group.count, rows: tiling.rows, columns: tiling.columns)
      var perTile = 2 * 64 + tiling.outputBlocks * pixels * configuration.elementBytes(.out)
      var perGroup = 0
      for (index, term) in layer.terms.enumerated() {
        guard let chunks = chunks(term, tiles[index], index, tiling, firstOutput: group.lowerBound) else {
          return nil
        }
        let window = windowSize(term, tiling, taps: 0..<term.kernel.height)
        perTile += inputBlocks(chunks) * window * configuration.elementBytes(.inp) + chunks.count * 3 * 64
        let weightBytes =
          chunks.reduce(0) { $0 + weightTiles(tiles[index], $1) } * configuration.elementBytes(.wgt)
        // Weights of one chunk stay in their slot from tile to tile.
        if chunks.count == 1 && layer.terms.count <= 2 {
          perGroup += weightBytes
        } else {
          perTile += weightBytes
        }
      }
      total += perGroup + pixelTiles * perTile
    }
    return isSame ? total * groups.count : total
  }

  /// Input blocks that the chunks load, each as often as it is loaded; rows that a kernel is cut into count once.
  private func inputBlocks(_ chunks: [TermChunk]) -> Int {
    chunks.reduce(0) { $0 + ($1.taps.lowerBound == 0 ? $1.inputs.count : 0) }
  }

  private func windowSize(_ term: AccumulateTerm, _ tiling: Tiling, taps: Range<Int>) -> Int {
    let places = placesAtOnce(term, tiling)
    return ((places.rows - 1) * term.stride.height + taps.count)
      * ((places.columns - 1) * term.stride.width + term.kernel.width)
  }

  /// Rows and columns of a tile that a term adds to, at most.
  private func placesAtOnce(_ term: AccumulateTerm, _ tiling: Tiling) -> (rows: Int, columns: Int) {
    let (rows, columns) = (term.places.rows.stride, term.places.columns.stride)
    return ((tiling.rows + rows - 1) / rows, (tiling.columns + columns - 1) / columns)
  }

  /// Cuts a term into parts that fit one input slot and one weight slot; `nil` if not even the smallest does.
  ///
  /// - Parameter firstOutput: output block at which the tile begins.
  private func chunks(
    _ term: AccumulateTerm, _ tiles: TermTiles, _ index: Int, _ tiling: Tiling, firstOutput: Int
  ) -> [TermChunk]? {
    if !tiles.isDense { return depthwiseChunks(term, tiles, index, tiling) }
    var result: [TermChunk] = []
    var start = 0
    while start < tiling.outputBlocks {
      // Neighbours that see the same inputs share their loads.
      let seen = tiles.inputs[firstOutput + start]
      var end = start + 1
      while end < tiling.outputBlocks, tiles.inputs[firstOutput + end] == seen { end += 1 }
      if !seen.isEmpty {
        guard let chunks = matrixChunks(term, index, tiling, outputs: start..<end, inputs: seen) else {
          return nil
        }
        result += chunks
      }
      start = end
    }
    return result
  }

  private func matrixChunks(
    _ term: AccumulateTerm, _ index: Int, _ tiling: Tiling, outputs: Range<Int>, inputs seen: Range<Int>
  ) -> [TermChunk]? {
    let kernel = 0..<term.kernel.height
    let window = windowSize(term, tiling, taps: kernel)
    let tilesPerInput = outputs.count * term.kernel.height * term.kernel.width
    let count = min(inputs.capacity / window, weights.capacity / tilesPerInput, seen.count)
    if count > 0 {
      return Tiling.ranges(seen.count, count).map {
        TermChunk(
          term: index, outputs: outputs,
          inputs: seen.lowerBound + $0.lowerBound..<seen.lowerBound + $0.upperBound, taps: kernel)
      }
    }
    let rows = min(rowsAtOnce(term, tiling), weights.capacity / (outputs.count * term.kernel.width))
    guard rows > 0 else { return nil }
    return seen.flatMap { block in
      Tiling.ranges(term.kernel.height, rows).map {
        TermChunk(term: index, outputs: outputs, inputs: block..<block + 1, taps: $0)
      }
    }
  }

  private func depthwiseChunks(
    _ term: AccumulateTerm, _ tiles: TermTiles, _ index: Int, _ tiling: Tiling
  ) -> [TermChunk]? {
    let kernel = 0..<term.kernel.height
    guard tiles.count <= weights.capacity else { return nil }
    let weightLimit = tiles.blockStep == 0 ? .max : weights.capacity / tiles.blockStep
    let count = min(
      inputs.capacity / windowSize(term, tiling, taps: kernel), weightLimit, tiling.outputBlocks)
    if count > 0 {
      return Tiling.ranges(tiling.outputBlocks, count).map {
        TermChunk(term: index, outputs: $0, inputs: $0, taps: kernel)
      }
    }
    let rows = rowsAtOnce(term, tiling)
    guard rows > 0, weightLimit > 0 else { return nil }
    return (0..<tiling.outputBlocks).flatMap { block in
      Tiling.ranges(term.kernel.height, rows).map {
        TermChunk(term: index, outputs: block..<block + 1, inputs: block..<block + 1, taps: $0)
      }
    }
  }

  /// Kernel rows whose window of one block fits into an input slot: a large kernel is cut. Not with padding, which
  /// could leave a part without any input.
  private func rowsAtOnce(_ term: AccumulateTerm, _ tiling: Tiling) -> Int {
    guard term.padding == .none else { return 0 }
    let height = (placesAtOnce(term, tiling).rows - 1) * term.stride.height
    let width = windowSize(term, tiling, taps: 0..<1) / (height + 1)
    let rows = inputs.capacity / width - height
    return min(max(0, rows), term.kernel.height)
  }

  // MARK: One tile

  private mutating func emitTile(
    _ layer: Accumulate, _ tiles: [TermTiles], _ requantization: Requantization,
    constantsAt location: UInt64, output: Int, _ outputs: Range<Int>, _ rows: Range<Int>,
    _ columns: Range<Int>
  ) throws(CodegenError) {
    let half = accumulators.next()
    let pixels = rows.count * columns.count
    let size = outputs.count * pixels
    let reset = size * requantization.tileCopies
    var last = builder.compute(
      .reset, [NestDimension(extent: reset, dst: 1, src: 0)], base: MicroOp(dst: half.base, src: 0),
      after: [half.free])
    let tiling = Tiling(outputBlocks: outputs.count, rows: rows.count, columns: columns.count)
    for (index, term) in layer.terms.enumerated() {
      for chunk in chunks(
        term, tiles[index], index, tiling, firstOutput: outputs.lowerBound) ?? []
      {
        last =
          try emitChunk(
            chunk, term, tiles[index], accumulator: half.base, firstOutput: outputs.lowerBound, rows, columns,
            outputWidth: graph.values[output].width) ?? last
      }
    }
    let constantBase = half.base + reset
    let blocks = requantization.load(
      outputs, at: constantBase, from: location, region: constantRegion, configuration, &builder)
    last =
      requantization.emit(
        base: half.base, copy: half.base + size, constants: blocks, blocks: outputs.count, pixels: pixels,
        &builder) ?? last
    accumulators.stored(
      by: storeTile(
        output, channels: outputs, rows: rows, columns: columns, base: half.base, after: last))
  }

  /// - Returns: `nil` if the term adds nothing to this tile: no place of its lies there, or only padding does.
  private mutating func emitChunk(
    _ chunk: TermChunk, _ term: AccumulateTerm, _ tiles: TermTiles, accumulator: Int,
    firstOutput: Int, _ rows: Range<Int>, _ columns: Range<Int>, outputWidth: Int
  ) throws(CodegenError) -> ProgramBuilder.Producer? {
    let source = graph.values[term.input]
    let (rowPlaces, columnPlaces) = (term.places.rows, term.places.columns)
    let (ownRows, ownColumns) = (rowPlaces.indices(in: rows), columnPlaces.indices(in: columns))
    if ownRows.isEmpty || ownColumns.isEmpty { return nil }
    let rowWindow = InputWindow(
      outputs: ownRows, taps: chunk.taps, stride: term.stride.height, padding: term.padding.top,
      extent: source.height)
    let columnWindow = InputWindow(
      outputs: ownColumns, taps: 0..<term.kernel.width, stride: term.stride.width,
      padding: term.padding.left, extent: source.width)
    if rowWindow.valid.isEmpty || columnWindow.valid.isEmpty { return nil }
    let shift = tiles.isDense ? 0 : firstOutput
    let channels = chunk.inputs.lowerBound + shift..<chunk.inputs.upperBound + shift
    let inputLease = try acquireInput(term.input, channels, rowWindow, columnWindow)
    let weightLease = try acquireWeights(chunk, tiles, firstOutput: firstOutput)
    let width = columnWindow.extent
    let area = rowWindow.extent * width
    let pixels = rows.count * columns.count
    let taps = chunk.taps.count * tiles.columns
    let channelDimensions =
      tiles.isDense
      ? [
        NestDimension(
          extent: chunk.outputs.count, dst: pixels, src: 0, wgt: chunk.inputs.count * taps),
        NestDimension(extent: chunk.inputs.count, dst: 0, src: area, wgt: taps),
      ] : [NestDimension(extent: chunk.outputs.count, dst: pixels, src: area, wgt: tiles.blockStep)]
    let tapStep = tiles.tapStep
    let firstTap = tiles.isDense ? 0 : chunk.taps.lowerBound * tiles.columns * tapStep
    var last = inputLease.writer
    for part in SameWeights.parts(tiles.tileAt, width: outputWidth, ownRows, ownColumns) {
      let (row, column) = (
        part.rows.lowerBound - ownRows.lowerBound, part.columns.lowerBound - ownColumns.lowerBound
      )
      let place =
        (rowPlaces.first + part.rows.lowerBound * rowPlaces.stride - rows.lowerBound) * columns.count
        + columnPlaces.first + part.columns.lowerBound * columnPlaces.stride - columns.lowerBound
      last = builder.compute(
        .gemm,
        channelDimensions + [
          NestDimension(
            extent: chunk.taps.count, dst: 0, src: width, wgt: tiles.columns * tapStep),
          NestDimension(extent: tiles.columns, dst: 0, src: 1, wgt: tapStep),
          NestDimension(
            extent: part.rows.count, dst: rowPlaces.stride * columns.count, src: term.stride.height * width),
          NestDimension(extent: part.columns.count, dst: columnPlaces.stride, src: term.stride.width),
        ],
        base: MicroOp(
          dst: accumulator + chunk.outputs.lowerBound * pixels + place,
          src: inputLease.base + row * term.stride.height * width + column * term.stride.width,
          wgt: weightLease.base + firstTap + part.tile),
        after: [inputLease.writer, weightLease.writer])
    }
    guard let gemm = last else { throw .layer(name: "", op: "", why: "a tile has no outputs") }
    inputs.read(inputLease, by: gemm)
    weights.read(weightLease, by: gemm)
    return gemm
  }

  /// The slot that holds a window of a tensor, loaded if no slot does.
  mutating func acquireInput(
    _ value: Int, _ channels: Range<Int>, _ rows: InputWindow, _ columns: InputWindow
  ) throws(CodegenError) -> ScratchpadSlots.Lease {
    let key = ScratchpadSlots.Key(
      region: -1 - value, byteOffset: 0,
      shape: [
        channels.lowerBound, channels.upperBound, rows.valid.lowerBound, rows.extent, rows.before,
        columns.valid.lowerBound, columns.extent, columns.before, rows.after, columns.after,
      ])
    var slots = inputs
    let lease = try slots.acquire(key) { (base, after) throws(CodegenError) in
      loadWindow(value, channels: channels, rows: rows, columns: columns, base: base, after: after)
    }
    inputs = slots
    return lease
  }
}
