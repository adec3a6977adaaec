internal import VTAModule

/// That labels and preprocessing fit the model's inputs and outputs.
struct InterfaceCheck {
  private let inputs: [[Int]]
  private let outputs: [[Int]]

  init(_ graph: Graph) {
    inputs = graph.inputs.map { graph.values[$0].shape }
    outputs = graph.outputs.map { graph.values[$0.value].shape }
  }

  func check(_ options: CompilerOptions) throws(CompileError) {
    if !options.labels.isEmpty { try checkLabels(options.labels.count) }
    if let preprocessing = options.preprocessing { try check(preprocessing) }
  }

  private func checkLabels(_ count: Int) throws(CompileError) {
    guard outputs.count == 1, let classes = outputs[0].last else {
      throw CompileError("labels", "they need a model with one output, but this one has \(outputs.count)")
    }
    guard classes == count else {
      throw CompileError(
        "labels", "there are \(count), but the output has \(classes) classes",
        remedy: "give one line per class")
    }
  }

  private func check(_ preprocessing: Preprocessing) throws(CompileError) {
    guard inputs.count == 1, inputs[0].count == 4 else {
      throw CompileError(
        "preprocessing",
        "it needs a model with one image as input, but this one has "
          + inputs.map(Shape.text).joined(separator: " and "))
    }
    let axis = preprocessing.layout == .nchw ? 1 : 3
    let channels = preprocessing.channels == .gray ? 1 : 3
    guard inputs[0][axis] == channels else {
      throw CompileError(
        "preprocessing",
        "\(preprocessing.channels.rawValue) in \(preprocessing.layout.rawValue) has \(channels) "
          + "channels on axis \(axis), but the input is \(Shape.text(inputs[0]))")
    }
    guard preprocessing.mean.count == channels, preprocessing.deviation.count == channels else {
      throw CompileError(
        "preprocessing", "mean and deviation must have one value for each of \(channels) channels")
    }
    guard preprocessing.deviation.allSatisfy({ $0 != 0 && $0.isFinite }),
      preprocessing.mean.allSatisfy(\.isFinite),
      preprocessing.range.isFinite
    else { throw CompileError("preprocessing", "range, mean and deviation must be finite, deviation not 0") }
  }
}
