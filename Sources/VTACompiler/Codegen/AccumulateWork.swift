internal import VTA
internal import VTAModule

/// A layer that is being scheduled, with its weights in place.
struct AccumulatePlan {
  let layer: Accumulate
  let tiles: [TermTiles]
  let requantization: Requantization
  /// Index of the value that it computes.
  let output: Int
  /// A maximum of the value that is taken before it leaves the accumulator, and the value that is stored then.
  var pool: (layer: MaxPool, output: Int)?
}

extension LayerEmitter {
  /// What is cut into tiles, and stored.
  func stored(_ plan: AccumulatePlan) -> QuantizedValue { graph.values[plan.pool?.output ?? plan.output] }

  /// The rows of a layer's own outputs that some rows of what is stored need.
  func rows(_ plan: AccumulatePlan, for stored: Range<Int>) -> Range<Int> {
    guard let pool = plan.pool?.layer else { return stored }
    return inside(
      stored, pool.kernel.height, pool.stride.height, pool.padding.top, graph.values[plan.output].height
    ).valid
  }

  func columns(_ plan: AccumulatePlan, for stored: Range<Int>) -> Range<Int> {
    guard let pool = plan.pool?.layer else { return stored }
    return inside(
      stored, pool.kernel.width, pool.stride.width, pool.padding.left, graph.values[plan.output].width
    ).valid
  }

  /// The layer's own outputs of one tile of what is stored, at most.
  func ownTiling(_ plan: AccumulatePlan, _ tiling: Tiling) -> Tiling {
    guard let pool = plan.pool?.layer else { return tiling }
    let value = graph.values[plan.output]
    return Tiling(
      outputBlocks: tiling.outputBlocks,
      rows: min(value.height, (tiling.rows - 1) * pool.stride.height + pool.kernel.height),
      columns: min(value.width, (tiling.columns - 1) * pool.stride.width + pool.kernel.width))
  }
}

/// What an ``Accumulate`` costs under a schedule. The slots of a scratchpad hold two chunks, so that what a tile and the
/// next one share is loaded once if it is at most two chunks, and all but two of more.
extension LayerEmitter {
  /// - Returns: `nil` if a tile does not fit.
  func work(_ plan: AccumulatePlan, _ schedule: LayerSchedule) -> Work? {
    let (stored, requantization) = (stored(plan), plan.requantization)
    let tiling = ownTiling(plan, schedule.tiling)
    let constants = requantization.tilesPerBlock * tiling.outputBlocks
    var sums = tiling.outputBlocks * tiling.rows * tiling.columns * requantization.tileCopies
    if plan.pool != nil { sums += tiling.outputBlocks * schedule.tiling.rows * schedule.tiling.columns }
    guard sums <= accumulators.capacity(contexts: schedule.contexts, constants: constants) else { return nil }
    let groups = Tiling.ranges(requantization.blocks, tiling.outputBlocks)
    let rows = Tiling.ranges(stored.height, schedule.tiling.rows).map { self.rows(plan, for: $0) }
    let columns = Tiling.ranges(stored.width, schedule.tiling.columns).map { self.columns(plan, for: $0) }
    let places = rows.count * columns.count
    var work = Work()
    // Late terms come between those of one tile and the next, and take a slot of the inputs from them.
    let terms = plan.layer.terms.indices
    let late = terms.filter { plan.layer.terms[$0].isLate }
    for part in [terms.filter { !plan.layer.terms[$0].isLate }, late] where !part.isEmpty {
      // Where all outputs see the same inputs, the first group of output blocks stands for all.
      let isSame = part.allSatisfy { plan.tiles[$0].hasSameInputs }
      let sharesInputs = isSame && part.allSatisfy { plan.tiles[$0].isDense }
      for group in isSame ? [0..<tiling.outputBlocks] : groups {
        guard
          let part = self.work(
            plan, part, schedule.order, tiling, group, groupCount: groups.count, rows, columns,
            sharesInputs: sharesInputs, hasLate: !late.isEmpty)
        else { return nil }
        work.add(part, times: isSame ? groups.count : 1)
      }
    }
    let positions = rows.reduce(0) { $0 + $1.count } * columns.reduce(0) { $0 + $1.count }
    work.gemmSteps = positions * zip(plan.layer.terms, plan.tiles).reduce(0) { $0 + products($1.0, $1.1) }
    work.aluSteps = positions * requantization.blocks * requantization.passCount
    let outBytes = requantization.blocks * stored.height * stored.width * configuration.elementBytes(.out)
    let constantBytes =
      requantization.tilesPerBlock * requantization.blocks * configuration.elementBytes(.acc)
    work.dramBytes += outBytes
    if schedule.contexts == 1 { work.exposedBytes += outBytes }
    let isConstantKept = schedule.order == .weightsStay || groups.count == 1
    work.dramBytes += constantBytes * (isConstantKept ? 1 : places)
    let stores = schedule.tiling.columns == stored.width ? 1 : tiling.outputBlocks
    work.instructions += groups.count * places * (1 + requantization.passCount + stores)
    if let pool = plan.pool?.layer {
      work.aluSteps += aluSteps(pool, stored)
      work.instructions += groups.count * places * (2 + pool.kernel.height * pool.kernel.width)
    }
    return work
  }

  /// Of one output position, all blocks.
  private func products(_ term: AccumulateTerm, _ tiles: TermTiles) -> Int {
    let taps = term.kernel.height * term.kernel.width
    let blocks = tiles.isDense ? tiles.inputs.reduce(0) { $0 + $1.count } : tiles.outputBlocks
    return blocks * taps / (term.places.rows.stride * term.places.columns.stride)
  }

  /// Loads and products of some terms for one group of output blocks, on average over the groups.
  ///
  /// - Parameter hasLate: late terms take a slot of the inputs.
  private func work(
    _ plan: AccumulatePlan, _ terms: [Int], _ order: LayerSchedule.Order, _ tiling: Tiling,
    _ group: Range<Int>, groupCount: Int, _ rows: [Range<Int>], _ columns: [Range<Int>], sharesInputs: Bool,
    hasLate: Bool
  ) -> Work? {
    let places = rows.count * columns.count
    var tiling = tiling
    tiling.outputBlocks = group.count
    var (chunkCount, inputBytes, inputLoads, weightBytes) = (0, 0, 0, 0)
    for index in terms {
      let term = plan.layer.terms[index]
      guard let chunks = chunks(plan, index, tiling, firstOutput: group.lowerBound) else {
        return nil
      }
      let source = graph.values[term.input]
      let positions = positionsLoaded(term, rows, columns, source)
      for chunk in chunks {
        // Rows that a kernel is cut into count once.
        let blocks = chunk.taps.lowerBound == 0 ? chunk.inputs.count : 0
        inputBytes += blocks * positions * configuration.elementBytes(.inp)
        let isOneLoad = seesWholeRows(term, source, columns: tiling.columns)
        inputLoads += isOneLoad ? 1 : chunk.inputs.count
        weightBytes += weightTiles(plan.tiles[index], chunk) * configuration.elementBytes(.wgt)
      }
      chunkCount += chunks.count
    }
    // How often each chunk of inputs and weights is loaded, in parts of the number of chunks.
    let inputSlots = hasLate ? 1 : 2
    func loads(_ visits: Int, _ slots: Int) -> Double {
      let count = Double(chunkCount)
      if chunkCount <= slots { return 1 }
      return (count + Double(visits - 1) * (count - Double(slots))) / count
    }
    let inputFactor: Double
    let weightFactor: Double
    switch order {
    case .weightsStay:
      weightFactor = loads(places, 2)
      inputFactor = sharesInputs && places * chunkCount <= inputSlots ? 1 / Double(groupCount) : 1
    case .inputsStay:
      weightFactor =
        groupCount * chunkCount <= 2 ? 1 : groupCount == 1 ? loads(places, 2) : Double(places)
      inputFactor = sharesInputs ? loads(groupCount, inputSlots) / Double(groupCount) : 1
    }
    var work = Work()
    work.dramBytes = Int(Double(inputBytes) * inputFactor + Double(weightBytes) * weightFactor)
    work.instructions =
      places * chunkCount + Int(Double(places * inputLoads) * inputFactor + Double(chunkCount) * weightFactor)
    return work
  }

  /// Positions of a block of inputs that all tiles of pixels load together, padding excluded.
  private func positionsLoaded(
    _ term: AccumulateTerm, _ rows: [Range<Int>], _ columns: [Range<Int>], _ source: QuantizedValue
  ) -> Int {
    func sum(
      _ ranges: [Range<Int>], _ axis: Places.Axis, taps: Int, stride: Int, padding: Int, input: Int
    ) -> Int {
      ranges.reduce(0) { sum, range in
        let own = axis.indices(in: range)
        if own.isEmpty { return sum }
        return sum
          + InputWindow(outputs: own, taps: 0..<taps, stride: stride, padding: padding, extent: input).valid
          .count
      }
    }
    return sum(
      rows, term.places.rows, taps: term.kernel.height, stride: term.stride.height,
      padding: term.padding.top, input: source.height)
      * sum(
        columns, term.places.columns, taps: term.kernel.width, stride: term.stride.width,
        padding: term.padding.left, input: source.width)
  }
}

extension Work {
  fileprivate mutating func add(_ other: Work, times count: Int) {
    dramBytes += other.dramBytes * count
    instructions += other.instructions * count
  }
}
