internal import VTA
internal import VTAModule

/// A layer that is being scheduled, with its weights in place.
struct AccumulatePlan {
  let layer: Accumulate
  let tiles: [TermTiles]
  let requantization: Requantization
  /// Index of the value that it computes.
  let output: Int
}

/// What an ``Accumulate`` costs under a schedule. The slots of a scratchpad hold two chunks, so that what a tile and the
/// next one share is loaded once if it is at most two chunks, and all but two of more.
extension LayerEmitter {
  /// - Returns: `nil` if a tile does not fit.
  func work(_ plan: AccumulatePlan, _ schedule: LayerSchedule) -> Work? {
    let (tiling, requantization) = (schedule.tiling, plan.requantization)
    let output = graph.values[plan.output]
    let constants = requantization.tilesPerBlock * tiling.outputBlocks
    let sums = tiling.outputBlocks * tiling.rows * tiling.columns * requantization.tileCopies
    guard sums <= accumulators.capacity(contexts: schedule.contexts, constants: constants) else { return nil }
    let groups = Tiling.ranges(requantization.blocks, tiling.outputBlocks)
    let places = parts(output.height, tiling.rows) * parts(output.width, tiling.columns)
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
            plan, part, schedule, group, groupCount: groups.count, places: places, sharesInputs: sharesInputs,
            hasLate: !late.isEmpty)
        else { return nil }
        work.add(part, times: isSame ? groups.count : 1)
      }
    }
    let outBytes = requantization.blocks * output.height * output.width * configuration.elementBytes(.out)
    let constantBytes =
      requantization.tilesPerBlock * requantization.blocks * configuration.elementBytes(.acc)
    work.dramBytes += outBytes
    if schedule.contexts == 1 { work.exposedBytes += outBytes }
    let isConstantKept = schedule.order == .weightsStay || groups.count == 1
    work.dramBytes += constantBytes * (isConstantKept ? 1 : places)
    let stores = tiling.columns == output.width ? 1 : tiling.outputBlocks
    work.instructions += groups.count * places * (1 + requantization.passCount + stores)
    return work
  }

  /// Loads and products of some terms for one group of output blocks, on average over the groups.
  ///
  /// - Parameter hasLate: late terms take a slot of the inputs.
  private func work(
    _ plan: AccumulatePlan, _ terms: [Int], _ schedule: LayerSchedule, _ group: Range<Int>, groupCount: Int,
    places: Int, sharesInputs: Bool, hasLate: Bool
  ) -> Work? {
    var tiling = schedule.tiling
    tiling.outputBlocks = group.count
    var (chunkCount, inputBytes, inputLoads, weightBytes) = (0, 0, 0, 0)
    for index in terms {
      let term = plan.layer.terms[index]
      guard let chunks = chunks(plan, index, tiling, firstOutput: group.lowerBound) else {
        return nil
      }
      let source = graph.values[term.input]
      let positions = positionsLoaded(term, tiling, source, plan.output)
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
    switch schedule.order {
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

  private func parts(_ extent: Int, _ size: Int) -> Int { (extent + size - 1) / size }

  /// Positions of a block of inputs that all tiles of pixels load together, padding excluded.
  private func positionsLoaded(
    _ term: AccumulateTerm, _ tiling: Tiling, _ source: QuantizedValue, _ output: Int
  ) -> Int {
    func sum(
      _ extent: Int, _ size: Int, _ axis: Places.Axis, taps: Int, stride: Int, padding: Int, input: Int
    ) -> Int {
      Tiling.ranges(extent, size).reduce(0) { sum, range in
        let own = axis.indices(in: range)
        if own.isEmpty { return sum }
        return sum
          + InputWindow(outputs: own, taps: 0..<taps, stride: stride, padding: padding, extent: input).valid
          .count
      }
    }
    let value = graph.values[output]
    return sum(
      value.height, tiling.rows, term.places.rows, taps: term.kernel.height, stride: term.stride.height,
      padding: term.padding.top, input: source.height)
      * sum(
        value.width, tiling.columns, term.places.columns, taps: term.kernel.width, stride: term.stride.width,
        padding: term.padding.left, input: source.width)
  }
}

extension Work {
  fileprivate mutating func add(_ other: Work, times count: Int) {
    dramBytes += other.dramBytes * count
    instructions += other.instructions * count
  }
}
