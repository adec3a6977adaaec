extension Graph {
  /// Evens out the ranges of channels between two layers: what a channel is divided by, the next layer's weights make up
  /// for. One scale then fits all channels better. Only where nothing but the next layer sees the value, and where the
  /// activation between them passes factors on (Relu and LeakyRelu do, clips do not).
  mutating func equalizeChannels(_ statistics: inout [ActivationStatistics]) {
    let readers = consumers()
    for index in nodes.indices {
      let value = nodes[index].output
      guard readers[value].count == 1, !isOutput(value), case let reader = readers[value][0],
        case .linear(var producer) = nodes[index].operation,
        case .linear(var consumer) = nodes[reader].operation,
        producer.bounds == .none || producer.bounds == .relu,
        producer.terms.allSatisfy({ $0.hasFreeWeights && $0.weightScales == nil }),
        let term = consumer.terms.firstIndex(where: { $0.input == value }),
        consumer.terms[term].hasFreeWeights,
        let factors = statistics[value].equalizingFactors
      else { continue }
      for index in producer.terms.indices {
        producer.terms[index].weights = producer.terms[index].weights.scaled(
          byOutput: factors.map { 1 / $0 }, outputs: producer.bias.count)
      }
      producer.bias = zip(producer.bias, factors).map { $0 / $1 }
      consumer.terms[term].weights = consumer.terms[term].weights.scaled(
        byInput: factors, outputs: consumer.bias.count, taps: consumer.terms[term].window.taps)
      guard producer.isFinite, consumer.isFinite else { continue }
      nodes[index].operation = .linear(producer)
      nodes[reader].operation = .linear(consumer)
      statistics[value].divideChannels(by: factors)
    }
  }
}

extension LinearTerm {
  fileprivate var hasFreeWeights: Bool {
    switch weights {
    case .dense, .grouped, .depthwise: true
    case .uniform, .positional, .selection: false
    }
  }
}

extension LinearTerm.Weights {
  fileprivate func scaled(byOutput factors: [Float], outputs: Int) -> Self {
    mapped { values in
      let count = values.count / outputs
      return values.indices.map { values[$0] * factors[$0 / count] }
    }
  }

  fileprivate func scaled(byInput factors: [Float], outputs: Int, taps: Int) -> Self {
    if case .depthwise = self { return scaled(byOutput: factors, outputs: outputs) }
    var groups = 1
    if case .grouped(_, let count) = self { groups = count }
    return mapped { values in
      let perOutput = values.count / outputs
      return values.indices.map { index in
        let first = index / perOutput / (outputs / groups) * (perOutput / taps)
        return values[index] * factors[first + index % perOutput / taps]
      }
    }
  }

  private func mapped(_ change: ([Float]) -> [Float]) -> Self {
    switch self {
    case .dense(let values): .dense(change(values))
    case .grouped(let values, let groups): .grouped(change(values), groups: groups)
    case .depthwise(let values): .depthwise(change(values))
    case .uniform, .positional, .selection: self
    }
  }
}
