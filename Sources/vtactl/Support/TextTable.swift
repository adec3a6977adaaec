/// Columns that stand below each other.
enum TextTable {
  /// - Parameters:
  ///   - rows: all with as many cells.
  ///   - leftColumns: how many at the start are text; the others are numbers, and end together.
  static func lines(_ rows: [[String]], leftColumns: Int) -> [String] {
    guard let first = rows.first else { return [] }
    let widths = first.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let cells = zip(row, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column < leftColumns ? cell.0 + padding : padding + cell.0
      }
      return cells.joined(separator: "  ")
    }
  }
}
