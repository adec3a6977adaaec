private import Dispatch
private import Synchronization
internal import VTAModule

/// Runs the float graph on the user's samples and keeps what quantization needs to know about each value.
struct Calibration {
  /// By value of the graph.
  let statistics: [ActivationStatistics]
  /// Elements of each input of the graph.
  var firstSample: [[Float]] { samples[0] }
  let samples: CalibrationSamples

  /// - Parameters:
  ///   - samples: per graph input an array whose first axis counts samples; other arrays are ignored.
  ///   - progress: hears how many samples of how many are done.
  init(
    _ graph: Graph, samples: [String: Tensor], method: QuantizationOptions.CalibrationMethod = .minMax,
    _ format: IntegerFormat, progress: (_ done: Int, _ count: Int) -> Void
  ) throws(CompileError) {
    let inputs = try CalibrationSamples(graph, samples)
    self.samples = inputs
    let executor = FloatExecutor(graph)
    let passes = method == .minMax ? 1 : 2
    var statistics = [ActivationStatistics](repeating: ActivationStatistics(), count: graph.values.count)
    Self.observe(
      executor, inputs, into: &statistics,
      add: { statistics, elements, value in
        statistics.add(elements, channels: graph.values[value].geometry.channels)
      }, merge: { $0.merge($1) },
      progress: { progress($0, passes * inputs.count) })
    for node in graph.nodes where !statistics[node.output].isFinite {
      throw CompileError(
        "\(node.operators[0]) \(quoted(node.name))",
        "its result overflows float32 on the calibration samples",
        remedy: "check the samples and the weights")
    }
    if method != .minMax {
      var histograms = statistics.map { Histogram(low: $0.low, high: $0.high) }
      Self.observe(
        executor, inputs, into: &histograms, add: { histogram, elements, _ in histogram.add(elements) },
        merge: { $0.merge($1) },
        progress: { progress(inputs.count + $0, passes * inputs.count) })
      let search = RangeSearch(method: method, levels: format.span)
      for value in statistics.indices where !graph.inputs.contains(value) {
        let range = search.range(histograms[value])
        statistics[value].clip(low: range.low, high: range.high)
      }
    }
    self.statistics = statistics
  }

  /// Shows every value of every sample to an observer of its own. Samples of one batch run side by side and are merged in
  /// their order.
  private static func observe<Observer: Sendable>(
    _ executor: FloatExecutor, _ inputs: CalibrationSamples, into observers: inout [Observer],
    add: @Sendable (inout Observer, [Float], _ value: Int) -> Void, merge: (inout Observer, Observer) -> Void,
    progress: (_ done: Int) -> Void
  ) {
    let width = 8
    let fresh = observers
    for first in stride(from: 0, to: inputs.count, by: width) {
      let batch = Mutex([Int: [Observer]]())
      DispatchQueue.concurrentPerform(iterations: min(width, inputs.count - first)) { index in
        var sample = fresh
        _ = executor.run(inputs[first + index]) { value, elements in add(&sample[value], elements, value) }
        batch.withLock { [sample] in $0[index] = sample }
      }
      for (_, sample) in batch.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
        for value in sample.indices { merge(&observers[value], sample[value]) }
      }
      progress(min(first + width, inputs.count))
    }
  }
}

/// The samples, checked against the graph's inputs.
struct CalibrationSamples: Sendable {
  let count: Int
  private let arrays: [[Float]]

  subscript(sample: Int) -> [[Float]] {
    arrays.map { array in
      let size = array.count / count
      return Array(array[sample * size..<(sample + 1) * size])
    }
  }

  init(_ graph: Graph, _ samples: [String: Tensor]) throws(CompileError) {
    var arrays: [[Float]] = []
    var counts: Set<Int> = []
    for input in graph.inputs.map({ graph.values[$0] }) {
      let subject = "calibration input \(quoted(input.name))"
      guard let tensor = samples[input.name] else {
        let names = samples.keys.sorted().map(quoted).joined(separator: ", ")
        throw CompileError(
          subject, "it is missing; there is \(names.isEmpty ? "nothing" : names)",
          remedy: "name one array per input of the model")
      }
      let expected = Array(input.shape.dropFirst())
      guard tensor.shape.count > 0, Array(tensor.shape.dropFirst()) == expected, tensor.shape[0] > 0 else {
        throw CompileError(
          subject, "it is \(Shape.text(tensor.shape)), but must be N×\(Shape.text(expected)) with N > 0")
      }
      let values: [Float]
      switch tensor.dataType {
      case .fp32: values = tensor.elements(as: Float.self)
      case .fp64: values = tensor.elements(as: Double.self).map { Float($0) }
      case .uint8: values = tensor.elements(as: UInt8.self).map { Float($0) }
      default:
        throw CompileError(
          subject, "its type is \(tensor.dataType.rawValue), but must be FP32, FP64 or UINT8")
      }
      guard values.allSatisfy(\.isFinite) else {
        throw CompileError(subject, "it holds a value that is infinite or not a number")
      }
      counts.insert(tensor.shape[0])
      arrays.append(values)
    }
    guard let count = counts.first, counts.count == 1 else {
      throw CompileError("calibration", "the inputs have different numbers of samples: \(counts.sorted())")
    }
    self.count = count
    self.arrays = arrays
  }
}
