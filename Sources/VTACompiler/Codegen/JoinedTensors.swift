internal import VTA

/// Concatenations that need no work: blocks of channels lie one behind the other, so that each part can lie where the whole
/// has it, and the layer that computes it writes it there.
struct JoinedTensors {
  /// By value that is part of another: the whole, and its first channel there.
  private(set) var parts: [Int: (whole: Int, channel: Int)] = [:]

  init(_ graph: QuantizedGraph, _ configuration: HardwareConfiguration) {
    let computed = Set(graph.steps.compactMap(\.computedValue))
    for step in graph.steps {
      guard case .accumulate(let layer, let output) = step.operation,
        let offsets = layer.joinedChannels(of: output, graph, configuration),
        offsets.allSatisfy({ parts[$0.value] == nil && $0.channel % configuration.block == 0 }),
        // A layer belongs to a program, which there is where the accelerator computes a part.
        offsets.contains(where: { computed.contains($0.value) })
      else { continue }
      for (value, channel) in offsets { parts[value] = (output, channel) }
    }
  }

  func isWhole(_ value: Int) -> Bool { parts.values.contains { $0.whole == value } }

  /// The value whose memory holds a value, and its first channel there.
  func place(of value: Int) -> (root: Int, channel: Int) {
    var result = (root: value, channel: 0)
    while let part = parts[result.root] {
      result = (part.whole, result.channel + part.channel)
    }
    return result
  }
}

extension QuantizedStep {
  fileprivate var computedValue: Int? {
    switch operation {
    case .accumulate(_, let output), .maxPool(_, let output): output
    case .quantize, .dequantize, .softmax, .reshape, .activate, .transpose, .concatenate: nil
    }
  }
}

extension Accumulate {
  /// The first channel of each input in the output, if they are all that it consists of, integer by integer.
  fileprivate func joinedChannels(
    of output: Int, _ graph: QuantizedGraph, _ configuration: HardwareConfiguration
  ) -> [(value: Int, channel: Int)]? {
    let value = graph.values[output]
    let limit = 1 << (configuration.inpBits - 1)
    guard multiplier == nil, leak.isEmpty, !roundsToEven, low <= -limit, high >= limit - 1,
      bias.allSatisfy({ $0 == 0 }), shift.allSatisfy({ $0 == 0 })
    else { return nil }
    var result: [(value: Int, channel: Int)] = []
    var next = 0
    for term in terms {
      let source = graph.values[term.input]
      guard case .dense(let weights) = term.weights, term.kernel == (1, 1), term.stride == (1, 1),
        term.padding == .none, term.places == .all, !term.isLate, source.zeroPoint == value.zeroPoint,
        source.constant == nil,
        !result.contains(where: { $0.value == term.input }), next + source.channels <= value.channels
      else { return nil }
      let isSelection = weights.indices.allSatisfy { index in
        let (row, column) = (index / source.channels, index % source.channels)
        return weights[index] == (row == next + column ? 1 : 0)
      }
      guard isSelection else { return nil }
      result.append((term.input, next))
      next += source.channels
    }
    return next == value.channels ? result : nil
  }
}
