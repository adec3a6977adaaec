internal import VTA
internal import VTAModule

/// A first convolution has few channels, and most lanes of its inputs would be zero. Where the host packs a tensor anyway,
/// it can put neighbouring positions of the kernel into them: blocks of as many as the stride, or all of the kernel.
struct InputUnfolding {
  /// One axis of a convolution, spread out.
  private struct Axis {
    /// Positions in an element.
    let span: Int
    let step: Int
    let kernel: Int
    let stride: Int
    let extent: Int

    /// - Parameters:
    ///   - outputs: of the convolution.
    ///   - input: extent before.
    init?(span: Int, step: Int, kernel: Int, stride: Int, padding: Int, outputs: Int, input: Int) {
      guard padding >= 0, span >= step else { return nil }
      self.span = span
      self.step = step
      self.kernel = span == kernel ? 1 : (kernel + step - 1) / step
      self.stride = stride / step
      // As far as outputs reach, and as far as there is input.
      extent = max((outputs - 1) * self.stride + self.kernel, (input + padding + step - 1) / step)
    }

    /// The ways in which neighbouring outputs find their inputs in whole elements.
    static func all(kernel: Int, stride: Int, padding: Int, outputs: Int, input: Int) -> [Axis] {
      let steps = (1...stride).filter { stride % $0 == 0 }
      return steps.compactMap {
        Axis(
          span: $0, step: $0, kernel: kernel, stride: stride, padding: padding, outputs: outputs, input: input
        )
      }
        + [
          Axis(
            span: kernel, step: stride, kernel: kernel, stride: stride, padding: padding, outputs: outputs,
            input: input)
        ].compactMap { $0 }
    }
  }

  /// The network with spread inputs wherever that saves tile products, and how they are spread by value.
  static func apply(
    to graph: QuantizedGraph, _ configuration: HardwareConfiguration
  ) -> (graph: QuantizedGraph, unfoldings: [Int: Unfolding]) {
    var (result, unfoldings) = (graph, [Int: Unfolding]())
    var readers: [Int: [Int]] = [:]
    var quantized: Set<Int> = []
    for (index, step) in graph.steps.enumerated() {
      switch step.operation {
      case .quantize(_, let output): quantized.insert(output)
      case .accumulate(let layer, _):
        for term in layer.terms { readers[term.input, default: []].append(index) }
      case .maxPool(let pool, _): readers[pool.input, default: []].append(index)
      case .dequantize(let input, _, _): readers[input, default: []].append(index)
      case .softmax, .reshape, .activate, .transpose, .concatenate: break
      }
    }
    for value in quantized.sorted() {
      guard let reader = readers[value], reader.count == 1,
        case .accumulate(var layer, let output) = graph.steps[reader[0]].operation, layer.terms.count == 1,
        case .dense(let weights) = layer.terms[0].weights, layer.terms[0].places == .all,
        let choice = best(layer.terms[0], graph.values[value], graph.values[output], configuration)
      else { continue }
      let (rows, columns) = choice
      let term = layer.terms[0]
      let source = graph.values[value]
      layer.terms[0] = AccumulateTerm(
        input: value, weights: .dense(spread(weights, term, channels: source.channels, rows, columns)),
        kernel: (rows.kernel, columns.kernel), stride: (rows.stride, columns.stride), padding: .none)
      result.steps[reader[0]].operation = .accumulate(layer, output: output)
      result.steps[reader[0]].why +=
        "; the host packs \(rows.span)×\(columns.span) positions of \(source.channels) channels into one element"
      result.values[value].channels = source.channels * rows.span * columns.span
      result.values[value].height = rows.extent
      result.values[value].width = columns.extent
      unfoldings[value] = Unfolding(
        rows: rows.span, columns: columns.span, rowStep: rows.step, columnStep: columns.step,
        height: rows.extent,
        width: columns.extent, top: term.padding.top, left: term.padding.left)
    }
    return (result, unfoldings)
  }

  /// The fewest products of tiles, and of equal ones the smallest tensor; `nil` to leave things as they are.
  private static func best(
    _ term: AccumulateTerm, _ source: QuantizedValue, _ output: QuantizedValue,
    _ configuration: HardwareConfiguration
  ) -> (rows: Axis, columns: Axis)? {
    let allRows = Axis.all(
      kernel: term.kernel.height, stride: term.stride.height, padding: term.padding.top,
      outputs: output.height,
      input: source.height)
    let allColumns = Axis.all(
      kernel: term.kernel.width, stride: term.stride.width, padding: term.padding.left, outputs: output.width,
      input: source.width)
    let plain = term.kernel.height * term.kernel.width
    guard source.channels < configuration.block else { return nil }
    var best: (products: Int, positions: Int, rows: Axis, columns: Axis)?
    for rows in allRows {
      for columns in allColumns where rows.span * columns.span * source.channels <= configuration.block {
        let (products, positions) = (rows.kernel * columns.kernel, rows.extent * columns.extent)
        guard products < plain, (products, positions) < (best?.products ?? .max, best?.positions ?? .max)
        else {
          continue
        }
        best = (products, positions, rows, columns)
      }
    }
    return best.map { ($0.rows, $0.columns) }
  }

  /// Weights in the order of the spread tensor: channel `(i · columns + j) · channels + c`.
  private static func spread(
    _ weights: [Int8], _ term: AccumulateTerm, channels: Int, _ rows: Axis, _ columns: Axis
  ) -> [Int8] {
    let (height, width) = term.kernel
    let outputs = weights.count / (channels * height * width)
    var result: [Int8] = []
    for output in 0..<outputs {
      for i in 0..<rows.span {
        for j in 0..<columns.span {
          for channel in 0..<channels {
            for row in 0..<rows.kernel {
              for column in 0..<columns.kernel {
                let (y, x) = (row * rows.step + i, column * columns.step + j)
                let isInside = y < height && x < width
                result.append(
                  isInside ? weights[((output * channels + channel) * height + y) * width + x] : 0)
              }
            }
          }
        }
      }
    }
    return result
  }
}
