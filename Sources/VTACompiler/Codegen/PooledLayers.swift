/// Maxima that are taken while the layer before them is still in the accumulator, so that its outputs never go to DRAM: the one
/// way in which VTA can hand an activation from one layer to the next without it. (OUT is only ever stored, and what GEMM
/// reads is only ever loaded; the accumulator alone is both written and read.)
struct PooledLayers {
  /// By index of the layer's step, that of the maximum.
  private var pools: [Int: Int] = [:]
  private let graph: QuantizedGraph

  /// - Parameter emitter: for the graph; a copy, whose constants nobody will read.
  init(_ graph: QuantizedGraph, _ emitter: LayerEmitter) {
    self.graph = graph
    var emitter = emitter
    var readers: [Int: Int] = [:]
    var producers: [Int: Int] = [:]
    for (index, step) in graph.steps.enumerated() {
      for input in step.operation.deviceInputs { readers[input, default: 0] += 1 }
      if case .accumulate(_, let output) = step.operation { producers[output] = index }
    }
    for (index, step) in graph.steps.enumerated() {
      guard case .maxPool(let pool, let output) = step.operation, readers[pool.input] == 1,
        let producer = producers[pool.input], !emitter.joined.isWhole(pool.input),
        case .accumulate(let layer, let value) = graph.steps[producer].operation,
        emitter.prefersPool(layer, output: value, pool: (pool, output))
      else { continue }
      pools[producer] = index
    }
  }

  /// Values that are never stored.
  var onChip: Set<Int> {
    Set(
      pools.values.compactMap { index in
        if case .maxPool(let pool, _) = graph.steps[index].operation { pool.input } else { nil }
      })
  }

  /// That a step is part of another one.
  func isMerged(_ index: Int) -> Bool { pools.values.contains(index) }

  /// The maximum that is part of a step.
  func pool(of index: Int) -> (layer: MaxPool, output: Int)? {
    guard let pool = pools[index], case .maxPool(let layer, let output) = graph.steps[pool].operation else {
      return nil
    }
    return (layer, output)
  }

  /// A step under the names of all that it does.
  func described(_ index: Int) -> QuantizedStep {
    var step = graph.steps[index]
    guard let pool = pools[index] else { return step }
    step.op += "+" + graph.steps[pool].op
    step.why += "; the maximum of \(graph.steps[pool].name) is taken before the values leave the accumulator"
    return step
  }
}

extension QuantizedOperation {
  /// Values of the accelerator that it reads.
  fileprivate var deviceInputs: [Int] {
    switch self {
    case .accumulate(let layer, _): layer.terms.map(\.input)
    case .maxPool(let pool, _): [pool.input]
    case .dequantize(let input, _, _): [input]
    case .quantize, .softmax, .reshape, .activate, .transpose, .concatenate: []
    }
  }
}
