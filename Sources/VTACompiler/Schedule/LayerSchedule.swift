/// How a layer is cut and in which order its tiles are computed.
struct LayerSchedule: Hashable {
  enum Order: Hashable, CaseIterable {
    /// All pixels of one group of output blocks first: weights stay.
    case weightsStay
    /// All output blocks of one tile of pixels first: inputs stay.
    case inputsStay
  }
  var tiling: Tiling
  var order: Order
  /// Tiles that the accumulator holds side by side: with two, one is computed while the other is stored.
  var contexts: Int

  /// The cheapest schedule that `work` accepts, and its cost.
  ///
  /// - Parameter work: of the whole layer; `nil` if a tile does not fit.
  static func best(
    outputBlocks: Int, rows: Int, columns: Int, orders: [Order] = Order.allCases,
    _ model: CostModel = CostModel(),
    work: (LayerSchedule) -> Work?
  ) -> (cost: Int, schedule: LayerSchedule)? {
    var best: (cost: Int, schedule: LayerSchedule)?
    for blocks in Tiling.candidates(outputBlocks) {
      for height in Tiling.candidates(rows) {
        for width in Tiling.candidates(columns) {
          let tiling = Tiling(outputBlocks: blocks, rows: height, columns: width)
          for contexts in [2, 1] {
            for order in orders {
              let schedule = LayerSchedule(tiling: tiling, order: order, contexts: contexts)
              guard let found = work(schedule).map(model.cost) else { continue }
              if found < (best?.cost ?? .max) { best = (found, schedule) }
            }
          }
        }
      }
    }
    return best
  }

  /// Calls `body` for every tile in its order.
  func forEachTile<Failure: Error>(
    outputBlocks: Int, rows: Int, columns: Int,
    _ body: (_ outputs: Range<Int>, _ rows: Range<Int>, _ columns: Range<Int>) throws(Failure) -> Void
  ) throws(Failure) {
    let groups = Tiling.ranges(outputBlocks, tiling.outputBlocks)
    func forEachPlace(
      _ body: (_ rows: Range<Int>, _ columns: Range<Int>) throws(Failure) -> Void
    ) throws(Failure) {
      for rows in Tiling.ranges(rows, tiling.rows) {
        for columns in Tiling.ranges(columns, tiling.columns) { try body(rows, columns) }
      }
    }
    switch order {
    case .weightsStay:
      for outputs in groups {
        try forEachPlace { (rows, columns) throws(Failure) in try body(outputs, rows, columns) }
      }
    case .inputsStay:
      try forEachPlace { (rows, columns) throws(Failure) in
        for outputs in groups { try body(outputs, rows, columns) }
      }
    }
  }
}
