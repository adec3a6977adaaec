internal import VTA
internal import VTAModule

/// What code generation knows of a layer and its instructions do not tell.
package struct LayerNote: Hashable, Sendable {
  /// Tile and loop order, for people.
  var schedule = ""
  /// Products of a weight that is not 0 and an activation that the layer is made of, per sample.
  var products = 0
  /// Every input, weight, constant and output once.
  var leastBytes = 0
  /// Elements of the accumulator that tiles and constants take.
  var accumulators = 0
  /// Index of the device tensor that it computes.
  var output: Int?
}

extension LayerSchedule {
  /// `4 blocks × 19 rows × 12 columns, weights stay, 2 contexts`
  var text: String {
    let order = order == .weightsStay ? "weights stay" : "inputs stay"
    return "\(tiling.outputBlocks)×\(tiling.rows)×\(tiling.columns) blocks×rows×columns, \(order), "
      + "\(contexts) context\(contexts == 1 ? "" : "s")"
  }
}

extension LayerEmitter {
  func note(_ plan: AccumulatePlan, _ schedule: LayerSchedule) -> LayerNote {
    let value = graph.values[plan.output]
    let (tiling, requantization) = (schedule.tiling, plan.requantization)
    let own = ownTiling(plan, tiling)
    let result = plan.pool?.output ?? plan.output
    var note = LayerNote(schedule: schedule.text, output: result)
    let pooled = plan.pool == nil ? 0 : tiling.outputBlocks * tiling.rows * tiling.columns
    note.accumulators =
      schedule.contexts
      * (own.outputBlocks * own.rows * own.columns * requantization.tileCopies + pooled)
      + requantization.tilesPerBlock * tiling.outputBlocks
    for (term, tiles) in zip(plan.layer.terms, plan.tiles) {
      let positions =
        term.places.rows.indices(in: 0..<value.height).count
        * term.places.columns.indices(in: 0..<value.width).count
      let taps = term.kernel.height * term.kernel.width
      switch term.weights {
      case .dense(let weights), .grouped(let weights, _), .depthwise(let weights):
        note.products += positions * weights.count { $0 != 0 }
      case .positional: note.products += positions * value.channels * taps
      }
      note.leastBytes += tiles.byteCount(configuration)
    }
    note.leastBytes += requantization.tilesPerBlock * requantization.blocks * configuration.elementBytes(.acc)
    for (input, terms) in Dictionary(grouping: plan.layer.terms, by: \.input) {
      note.leastBytes += bytesRead(input, terms, of: value)
    }
    note.leastBytes += bytes(result)
    return note
  }

  func note(_ pool: MaxPool, output: Int, _ schedule: LayerSchedule) -> LayerNote {
    LayerNote(schedule: schedule.text, leastBytes: bytes(pool.input) + bytes(output), output: output)
  }

  /// Rows and columns of an input that some window sees.
  private func bytesRead(_ input: Int, _ terms: [AccumulateTerm], of output: QuantizedValue) -> Int {
    let source = graph.values[input]
    func seen(_ axis: Places.Axis, _ outputs: Int, kernel: Int, stride: Int, padding: Int) -> [Int] {
      axis.indices(in: 0..<outputs).flatMap { output in
        (0..<kernel).map { output * stride + $0 - padding }
      }
    }
    var (rows, columns): (Set<Int>, Set<Int>) = ([], [])
    for term in terms {
      rows.formUnion(
        seen(
          term.places.rows, output.height, kernel: term.kernel.height, stride: term.stride.height,
          padding: term.padding.top))
      columns.formUnion(
        seen(
          term.places.columns, output.width, kernel: term.kernel.width, stride: term.stride.width,
          padding: term.padding.left))
    }
    return blocks(source.channels) * rows.count { (0..<source.height).contains($0) }
      * columns.count { (0..<source.width).contains($0) } * configuration.elementBytes(.inp)
  }

  private func bytes(_ value: Int) -> Int { Int(clamping: tensors[value].byteCount(configuration)) }
}
