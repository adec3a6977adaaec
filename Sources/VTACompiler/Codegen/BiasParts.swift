internal import VTA
internal import VTAModule

/// Constants that are added to some of the output positions of an ``Accumulate``, per channel.
struct BiasPart {
  let places: Places
  /// By position of the places, row-major: which of the `constants`; empty if there is one.
  let tileAt: [Int]
  /// Places in a row.
  let width: Int
  let constants: [[Int32]]

  /// The bias, and in it what zero points make necessary: that of the output, and for those of the inputs minus what they
  /// add to each sum, which depends on how much of the window lies in the padding.
  ///
  /// - Parameter graph: of the layer's values.
  static func parts(_ layer: Accumulate, output: Int, _ graph: QuantizedGraph) -> [BiasPart] {
    let value = graph.values[output]
    var bias = layer.bias
    if layer.roundsWithBias {
      let addend = Int32(layer.addend(output: output, graph))
      for channel in bias.indices { bias[channel] &+= addend << Int32(layer.shift[channel]) }
    }
    let shifted = layer.terms.filter { graph.values[$0.input].zeroPoint != 0 && !$0.isLate }
    if shifted.isEmpty { return [BiasPart(places: .all, tileAt: [], width: value.width, constants: [bias])] }
    var groups: [(places: Places, terms: [AccumulateTerm])] = []
    for term in shifted {
      if let index = groups.firstIndex(where: { $0.places == term.places }) {
        groups[index].terms.append(term)
      } else {
        groups.append((term.places, [term]))
      }
    }
    // Phases of a stride share no position; if they leave none out, they carry the bias too.
    let isWhole = Places.partition(groups.map(\.places), value)
    let rest =
      isWhole ? [] : [BiasPart(places: .all, tileAt: [], width: value.width, constants: [bias])]
    let base = isWhole ? bias : [Int32](repeating: 0, count: bias.count)
    return rest + groups.map { part($0.places, $0.terms, base: base, value, graph) }
  }

  private static func part(
    _ places: Places, _ terms: [AccumulateTerm], base: [Int32], _ value: QuantizedValue,
    _ graph: QuantizedGraph
  ) -> BiasPart {
    let rows = places.rows.indices(in: 0..<value.height).count
    let columns = places.columns.indices(in: 0..<value.width).count
    let sums = terms.map {
      TermSums($0, graph.values[$0.input], outputs: base.count, rows: rows, columns: columns)
    }
    var classes: [[Int]: Int] = [:]
    var (tileAt, constants) = ([Int](), [[Int32]]())
    for row in 0..<rows {
      for column in 0..<columns {
        let key = sums.flatMap { $0.key(row, column) }
        if let known = classes[key] {
          tileAt.append(known)
          continue
        }
        classes[key] = constants.count
        tileAt.append(constants.count)
        var constant = base
        for sum in sums { sum.subtract(at: row, column, from: &constant) }
        constants.append(constant)
      }
    }
    return BiasPart(
      places: places, tileAt: constants.count == 1 ? [] : tileAt, width: columns, constants: constants)
  }
}

extension Accumulate {
  /// That nothing comes between the bias and the first shift, so that it can hold what is added behind that.
  var roundsWithBias: Bool { !roundsLate && !roundsToEven }

  /// What is added behind the first shift to all outputs alike: the output's zero point, and with late terms the rounding of
  /// their shift and what the zero points of their inputs must not add.
  func addend(output: Int, _ graph: QuantizedGraph) -> Int {
    var result = graph.values[output].zeroPoint << lateShift
    if lateShift > 0 { result += 1 << (lateShift - 1) }
    for term in terms where term.isLate {
      // All channels have one weight.
      guard case .depthwise(let weights) = term.weights, let weight = weights.first else { continue }
      result -= Int(weight) * graph.values[term.input].zeroPoint
    }
    return result
  }
}

/// What the zero point of a term's input adds to its sums.
private struct TermSums {
  private let term: AccumulateTerm
  private let zeroPoint: Int
  private let rows: WindowClasses
  private let columns: WindowClasses
  /// Per output channel and kernel position the sum of weights over the input channels.
  private let weights: [Int]
  private let outputWidth: Int

  init(_ term: AccumulateTerm, _ source: QuantizedValue, outputs: Int, rows: Int, columns: Int) {
    self.term = term
    zeroPoint = source.zeroPoint
    outputWidth = columns
    self.rows = WindowClasses(
      outputs: rows, kernel: term.kernel.height, stride: term.stride.height, padding: term.padding.top,
      extent: source.height)
    self.columns = WindowClasses(
      outputs: columns, kernel: term.kernel.width, stride: term.stride.width, padding: term.padding.left,
      extent: source.width)
    let taps = term.kernel.height * term.kernel.width
    var sums = [Int](repeating: 0, count: outputs * taps)
    switch term.weights {
    case .dense(let values), .grouped(let values, _):
      let perOutput = values.count / outputs
      for (index, value) in values.enumerated() {
        sums[index / perOutput * taps + index % taps] += Int(value)
      }
    case .depthwise(let values): sums = values.map { Int($0) }
    case .positional: sums = [Int](repeating: 1, count: outputs * taps)
    }
    weights = sums
  }

  func key(_ row: Int, _ column: Int) -> [Int] {
    [rows.indices[row], columns.indices[column], positional(row, column)]
  }

  private func positional(_ row: Int, _ column: Int) -> Int {
    guard case .positional(let values) = term.weights else { return 1 }
    return Int(values[row * outputWidth + column])
  }

  func subtract(at row: Int, _ column: Int, from constant: inout [Int32]) {
    let taps = term.kernel.height * term.kernel.width
    let factor = zeroPoint * positional(row, column)
    for output in constant.indices {
      var sum = 0
      for i in rows.taps[rows.indices[row]] {
        for j in columns.taps[columns.indices[column]] {
          sum += weights[output * taps + i * term.kernel.width + j]
        }
      }
      constant[output] &-= Int32(truncatingIfNeeded: sum * factor)
    }
  }
}

extension Places {
  /// That each position of a value belongs to exactly one of some places.
  fileprivate static func partition(_ all: [Places], _ value: QuantizedValue) -> Bool {
    var counts = [Int](repeating: 0, count: value.height * value.width)
    for places in all {
      for row in places.rows.indices(in: 0..<value.height) {
        let start = (places.rows.first + row * places.rows.stride) * value.width + places.columns.first
        for column in places.columns.indices(in: 0..<value.width) {
          counts[start + column * places.columns.stride] += 1
        }
      }
    }
    return counts.allSatisfy { $0 == 1 }
  }
}
