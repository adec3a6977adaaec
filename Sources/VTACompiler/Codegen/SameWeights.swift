/// A rectangle of output positions that take the same weights of a positional term.
struct SameWeights: Hashable {
  let rows: Range<Int>
  let columns: Range<Int>
  /// Which of the term's tiles.
  let tile: Int

  /// Cuts a tile of outputs into such rectangles: runs of equal rows, and in them runs of equal columns.
  ///
  /// - Parameters:
  ///   - tiles: by output position, row-major; empty if tile 0 serves all.
  ///   - width: of the whole output.
  static func parts(
    _ tiles: [Int], width: Int, _ rows: Range<Int>, _ columns: Range<Int>
  ) -> [SameWeights] {
    if tiles.isEmpty { return [SameWeights(rows: rows, columns: columns, tile: 0)] }
    func row(_ index: Int) -> ArraySlice<Int> {
      tiles[index * width + columns.lowerBound..<index * width + columns.upperBound]
    }
    return runs(rows) { row($0).elementsEqual(row($1)) }.flatMap { rows in
      let start = rows.lowerBound * width
      return runs(columns) { tiles[start + $0] == tiles[start + $1] }.map { columns in
        SameWeights(rows: rows, columns: columns, tile: tiles[start + columns.lowerBound])
      }
    }
  }

  private static func runs(_ range: Range<Int>, _ isSame: (Int, Int) -> Bool) -> [Range<Int>] {
    var result: [Range<Int>] = []
    for index in range {
      if let last = result.last, isSame(last.lowerBound, index) {
        result[result.count - 1] = last.lowerBound..<index + 1
      } else {
        result.append(index..<index + 1)
      }
    }
    return result
  }
}
