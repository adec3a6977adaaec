internal import VTAModule

/// Which values may have a zero point other than 0.
///
/// With one, the range of a Relu's output takes all integers instead of half of them. But LOAD pads with the integer 0, so
/// a layer that reads the value corrects its sums wherever its window reaches into the padding, with a constant for each
/// way in which it can. Where there are too many ways, the value stays symmetric.
enum ZeroPoints {
  /// Enough for a padded kernel of 7 × 7, each of whose edges sees up to three rows or columns of padding.
  private static let classesMax = 49

  /// By value of the graph.
  static func allowed(_ graph: Graph) -> [Bool] {
    var allowed = graph.values.indices.map { _ in true }
    for node in graph.nodes {
      guard case .linear(let layer) = node.operation else { continue }
      for term in layer.terms where classes(term, graph, node.output) > classesMax {
        allowed[term.input] = false
      }
    }
    // What is passed on as it is has one zero point, and so have the parts of what may be joined without work.
    let same = graph.nodes.flatMap { node in
      ([node.passedOn].compactMap(\.self) + (node.joined ?? [])).map { ($0, node.output) }
    }
    var isChanging = true
    while isChanging {
      isChanging = false
      for (input, output) in same where allowed[input] != allowed[output] {
        (allowed[input], allowed[output], isChanging) = (false, false, true)
      }
    }
    return allowed
  }

  private static func classes(_ term: LinearTerm, _ graph: Graph, _ output: Int) -> Int {
    let (input, output) = (graph.values[term.input].geometry, graph.values[output].geometry)
    let window = term.window
    let rows = WindowClasses(
      outputs: term.places.rows.indices(in: 0..<output.height).count, kernel: window.kernel.height,
      stride: window.stride.height, padding: window.padding.top, extent: input.height)
    let columns = WindowClasses(
      outputs: term.places.columns.indices(in: 0..<output.width).count, kernel: window.kernel.width,
      stride: window.stride.width, padding: window.padding.left, extent: input.width)
    let count = rows.taps.count * columns.taps.count
    // Averages whose weights differ by position have at least as many.
    guard case .positional(let weights) = term.weights else { return count }
    return max(count, Set(weights).count)
  }
}

/// The outputs of a window along one axis, told apart by the kernel's positions that see the input.
struct WindowClasses {
  /// Different ranges of kernel positions.
  private(set) var taps: [Range<Int>] = []
  /// Which of them each output has.
  private(set) var indices: [Int] = []

  init(outputs: Int, kernel: Int, stride: Int, padding: Int, extent: Int) {
    for output in 0..<outputs {
      let start = output * stride - padding
      let low = min(max(0, -start), kernel)
      let range = low..<max(low, min(kernel, extent - start))
      if let index = taps.firstIndex(of: range) {
        indices.append(index)
      } else {
        indices.append(taps.count)
        taps.append(range)
      }
    }
  }
}

extension GraphNode {
  /// The values that a concatenation of channels joins; `nil` for other nodes.
  var joined: [Int]? {
    guard case .linear(let layer) = operation, layer.bounds == .none, layer.slope == 1,
      layer.bias.allSatisfy({ $0 == 0 }), !layer.terms.isEmpty,
      layer.terms.allSatisfy({ if case .selection = $0.weights { $0.isPointwise } else { false } })
    else { return nil }
    return layer.terms.map(\.input)
  }

  /// The value whose integers are the output's too.
  var passedOn: Int? {
    switch operation {
    case .maxPool(let pool): pool.input
    case .reshape(let input): input
    case .host(.transpose, let inputs): inputs[0]
    case .linear, .softmax, .host, .constant: nil
    }
  }
}
