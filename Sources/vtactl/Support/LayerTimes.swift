internal import VTA
internal import VTAModule

/// What a layer took in several runs of its program, part by part on one core.
struct LayerTimes: Encodable {
  let name: String
  let op: String
  /// The median.
  let seconds: Double
  let macs: Int
  /// Tasks by the way in which they ran.
  let tasks: [String: Int]

  var gmacs: Double { Double(macs) / max(seconds, 1e-9) / 1e9 }

  /// - Parameter runs: of the model's programs, in the order of runs.
  static func list(_ module: Module, _ runs: [[[TaskTime]]]) -> [LayerTimes] {
    module.layers.compactMap { layer in
      guard let program = layer.program else { return nil }
      let own = runs.map { run in run[program].filter { layer.instructions.contains($0.instruction) } }
      guard let first = own.first, !first.isEmpty else { return nil }
      let seconds = own.map { tasks in
        tasks.reduce(Duration.zero) { $0 + $1.time } / .seconds(1)
      }
      return LayerTimes(
        name: layer.name, op: layer.op, seconds: seconds.sorted()[seconds.count / 2],
        macs: first.reduce(0) { $0 + $1.macs },
        tasks: Dictionary(grouping: first, by: \.path.rawValue).mapValues(\.count))
    }
  }

  static func printTable(_ layers: [LayerTimes]) {
    let total = layers.reduce(0) { $0 + $1.seconds }
    let rows = layers.map { layer in
      [
        "\((layer.seconds * 1e6).hundredths) µs", "\((100 * layer.seconds / total).hundredths) %",
        "\((layer.gmacs * 10).rounded() / 10) GMAC/s",
        layer.tasks.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "),
        "\(layer.name) (\(layer.op))",
      ]
    }
    let widths = (0..<4).map { column in rows.reduce(0) { max($0, $1[column].count) } }
    for row in rows {
      let cells = zip(row, widths).map { cell, width in
        String(repeating: " ", count: width - cell.count) + cell
      }
      print("  " + (cells + row.suffix(1)).joined(separator: "  "))
    }
  }
}

extension Double {
  /// Rounded to them, for reports.
  var hundredths: String { "\((self * 100).rounded() / 100)" }
}
