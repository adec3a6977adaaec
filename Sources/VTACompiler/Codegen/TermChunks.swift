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

/// How the terms of an ``Accumulate`` are cut to fit the slots of inputs and weights.
extension LayerEmitter {
  func windowSize(_ term: AccumulateTerm, _ tiling: Tiling, taps: Range<Int>) -> Int {
    let places = placesAtOnce(term, tiling)
    // A row of the input is at least as long as its windows; see `seesWholeRows`.
    let source = graph.values[term.input]
    if seesWholeRows(term, source, columns: places.columns) {
      return ((places.rows - 1) * term.stride.height + taps.count) * source.width
    }
    return ((places.rows - 1) * term.stride.height + taps.count)
      * ((places.columns - 1) * term.stride.width + term.kernel.width)
  }

  /// That a tile of whole rows loads whole rows of the input, though it does not need their last columns: then one LOAD
  /// brings any number of blocks.
  func seesWholeRows(_ term: AccumulateTerm, _ source: QuantizedValue, columns: Int) -> Bool {
    columns == (source.width - 1) / term.stride.width + 1
      && term.padding == .none && term.kernel.width == 1 && term.places == .all
      && source.height * source.width <= Limits.transferExtentMax
  }

  /// Rows and columns of a tile that a term adds to, at most.
  private func placesAtOnce(_ term: AccumulateTerm, _ tiling: Tiling) -> (rows: Int, columns: Int) {
    let (rows, columns) = (term.places.rows.stride, term.places.columns.stride)
    return ((tiling.rows + rows - 1) / rows, (tiling.columns + columns - 1) / columns)
  }

  /// Cuts a term into parts that fit one input slot and one weight slot; `nil` if not even the smallest does.
  ///
  /// - Parameter firstOutput: output block at which the tile begins.
  func chunks(
    _ plan: AccumulatePlan, _ index: Int, _ tiling: Tiling, firstOutput: Int
  ) -> [TermChunk]? {
    let (term, tiles) = (plan.layer.terms[index], plan.tiles[index])
    // Late terms take the end of a slot.
    let room = weights.capacity - (plan.layer.terms.contains(where: \.isLate) ? 1 : 0)
    if !tiles.isDense { return depthwiseChunks(term, tiles, index, tiling, room) }
    var result: [TermChunk] = []
    var start = 0
    while start < tiling.outputBlocks {
      // Neighbours that see the same inputs share their loads.
      let seen = tiles.inputs[firstOutput + start]
      var end = start + 1
      while end < tiling.outputBlocks, tiles.inputs[firstOutput + end] == seen { end += 1 }
      if !seen.isEmpty {
        guard let chunks = matrixChunks(term, index, tiling, room, outputs: start..<end, inputs: seen) else {
          return nil
        }
        result += chunks
      }
      start = end
    }
    return result
  }

  private func matrixChunks(
    _ term: AccumulateTerm, _ index: Int, _ tiling: Tiling, _ room: Int, outputs: Range<Int>,
    inputs seen: Range<Int>
  ) -> [TermChunk]? {
    let kernel = 0..<term.kernel.height
    let window = windowSize(term, tiling, taps: kernel)
    let tilesPerInput = outputs.count * term.kernel.height * term.kernel.width
    let count = min(inputs.capacity / window, room / tilesPerInput, seen.count)
    if count > 0 {
      return Tiling.ranges(seen.count, count).map {
        TermChunk(
          term: index, outputs: outputs,
          inputs: seen.lowerBound + $0.lowerBound..<seen.lowerBound + $0.upperBound, taps: kernel)
      }
    }
    let rows = min(rowsAtOnce(term, tiling), room / (outputs.count * term.kernel.width))
    guard rows > 0 else { return nil }
    return seen.flatMap { block in
      Tiling.ranges(term.kernel.height, rows).map {
        TermChunk(term: index, outputs: outputs, inputs: block..<block + 1, taps: $0)
      }
    }
  }

  private func depthwiseChunks(
    _ term: AccumulateTerm, _ tiles: TermTiles, _ index: Int, _ tiling: Tiling, _ room: Int
  ) -> [TermChunk]? {
    let kernel = 0..<term.kernel.height
    guard tiles.count <= room else { return nil }
    let weightLimit = tiles.blockStep == 0 ? .max : room / tiles.blockStep
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
}
