internal import VTA
internal import VTAModule

/// ``Accumulate`` on the accelerator: per tile of outputs GEMM reset, the terms chunk by chunk, bias, shift, late terms,
/// clip, store. Bias and shift lie in the half of the accumulator behind the tile.
extension LayerEmitter {
  mutating func emit(
    _ layer: Accumulate, output: Int, pool: (layer: MaxPool, output: Int)? = nil, step: QuantizedStep
  ) throws(CodegenError) {
    for term in layer.terms { try checkPadding(term.padding, step) }
    var plan = plan(layer, output: output)
    plan.pool = pool
    let location = constants.place(plan.requantization.tiles(constants), .acc)
    guard let (_, schedule) = best(plan) else {
      throw .layer(
        name: step.name, op: step.op,
        why: "one output pixel's window does not fit into half a scratchpad of \(configuration.name)")
    }
    lastNote = note(plan, schedule)
    var isReversed = false
    let value = stored(plan)
    try schedule.forEachTile(
      outputBlocks: blocks(value.channels), rows: value.height, columns: value.width
    ) { (outputs, rows, columns) throws(CodegenError) in
      try emitTile(plan, schedule, constantsAt: location, outputs, rows, columns, isReversed: isReversed)
      isReversed.toggle()
    }
  }

  private mutating func plan(_ layer: Accumulate, output: Int) -> AccumulatePlan {
    let channels = graph.values[output].channels
    return AccumulatePlan(
      layer: layer, tiles: layer.terms.map { placeWeights($0, outputs: channels) },
      requantization: Requantization(layer, output: output, graph, configuration), output: output)
  }

  private func best(_ plan: AccumulatePlan) -> (cost: Int, schedule: LayerSchedule)? {
    let value = stored(plan)
    return LayerSchedule.best(
      outputBlocks: blocks(value.channels), rows: value.height, columns: value.width
    ) { work(plan, $0) }
  }

  /// That it costs less to take the maximum before the values leave the accumulator, though tiles overlap then and what they
  /// share is computed twice, than to store them and load them again.
  mutating func prefersPool(_ layer: Accumulate, output: Int, pool: (layer: MaxPool, output: Int)) -> Bool {
    var plan = plan(layer, output: output)
    guard let alone = best(plan), let after = best(pool.layer, graph.values[pool.output]) else {
      return false
    }
    plan.pool = pool
    guard let together = best(plan) else { return false }
    return together.cost < alone.cost + after.cost
  }

  // MARK: One tile

  /// - Parameter isReversed: chunks are taken from the last to the first, so that those which the tile before ended
  ///   with are there already.
  private mutating func emitTile(
    _ plan: AccumulatePlan, _ schedule: LayerSchedule, constantsAt location: UInt64, _ outputs: Range<Int>,
    _ storedRows: Range<Int>, _ storedColumns: Range<Int>, isReversed: Bool
  ) throws(CodegenError) {
    let requantization = plan.requantization
    let (rows, columns) = (rows(plan, for: storedRows), columns(plan, for: storedColumns))
    let pixels = rows.count * columns.count
    let size = outputs.count * pixels
    let copies = size * requantization.tileCopies
    let pooled = plan.pool == nil ? 0 : outputs.count * storedRows.count * storedColumns.count
    let reset = copies + pooled
    let constantCount = requantization.tilesPerBlock * schedule.tiling.outputBlocks
    let place = accumulators.next(contexts: schedule.contexts, constants: constantCount, size: reset)
    var last = builder.compute(
      .reset, [NestDimension(extent: reset, dst: 1, src: 0)], base: MicroOp(dst: place.base, src: 0),
      after: place.free)
    // Tiles at the edges are cut as all others, so that they find the same weights.
    var tiling = ownTiling(plan, schedule.tiling)
    tiling.outputBlocks = outputs.count
    var parts: [TermChunk] = []
    for index in plan.layer.terms.indices {
      parts += chunks(plan, index, tiling, firstOutput: outputs.lowerBound) ?? []
    }
    func emit(_ chunks: [TermChunk]) throws(CodegenError) {
      for chunk in chunks {
        last =
          try emitChunk(
            chunk, plan.layer.terms[chunk.term], plan.tiles[chunk.term], accumulator: place.base,
            firstOutput: outputs.lowerBound, rows, columns, outputWidth: graph.values[plan.output].width)
          ?? last
      }
    }
    let early = parts.filter { !plan.layer.terms[$0.term].isLate }
    try emit(isReversed ? early.reversed() : early)
    let constantBase = loadConstants(requantization, outputs, from: location)
    last =
      requantization.emitShift(
        base: place.base, copy: place.base + size, constants: constantBase, blocks: outputs.count,
        rows, columns, &builder) ?? last
    try emit(parts.filter { plan.layer.terms[$0.term].isLate })
    last = requantization.emitClip(base: place.base, count: size, &builder)
    var result = place.base
    if let pool = plan.pool {
      result += copies
      last = emitMaximum(
        pool.layer, staged: place.base, result: result, outputs.count, storedRows, storedColumns,
        InputWindow(valid: rows), InputWindow(valid: columns))
    }
    accumulators.stored(
      place.base..<place.base + reset,
      by: storeTile(
        plan.pool?.output ?? plan.output, channels: outputs, rows: storedRows, columns: storedColumns,
        base: result, after: last))
  }

  /// Where the constants of some output blocks are, loaded unless they are there.
  private mutating func loadConstants(
    _ requantization: Requantization, _ outputs: Range<Int>, from location: UInt64
  ) -> Int {
    let count = requantization.tilesPerBlock * outputs.count
    if count == 0 { return 0 }
    if let held = accumulators.constants, held.location == location, held.blocks == outputs {
      return held.base
    }
    let place = accumulators.placeConstants(count, from: location, outputs)
    let offset = UInt64(outputs.lowerBound * requantization.tilesPerBlock * configuration.elementBytes(.acc))
    builder.load(
      Transfer(memory: .acc, sramBase: place.base, ySize: 1, xSize: count, xStride: count),
      from: ProgramBuilder.Location(region: constantRegion, byteOffset: location + offset), after: place.free)
    return place.base
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
    var columnWindow = InputWindow(
      outputs: ownColumns, taps: 0..<term.kernel.width, stride: term.stride.width,
      padding: term.padding.left, extent: source.width)
    if seesWholeRows(term, source, columns: columns.count) {
      columnWindow = InputWindow(valid: 0..<source.width)
    }
    if rowWindow.valid.isEmpty || columnWindow.valid.isEmpty { return nil }
    let shift = tiles.isDense ? 0 : firstOutput
    let channels = chunk.inputs.lowerBound + shift..<chunk.inputs.upperBound + shift
    let inputLease = try acquireInput(term.input, channels, rowWindow, columnWindow)
    let weightLease = try acquireWeights(chunk, tiles, firstOutput: firstOutput, isLate: term.isLate)
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
    let lease = try slots.acquire(key, size: channels.count * rows.extent * columns.extent) {
      (base, after) throws(CodegenError) in
      loadWindow(value, channels: channels, rows: rows, columns: columns, base: base, after: after)
    }
    inputs = slots
    return lease
  }
}
