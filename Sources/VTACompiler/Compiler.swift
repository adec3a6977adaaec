package import SystemPackage
package import VTA
package import VTAModule

/// What a compilation needs beside the model.
package struct CompilerOptions {
  /// The module's name.
  package var name: String
  /// Program and version, for the module.
  package var producer: String
  package var target: Target
  /// Shapes of inputs whose dimensions the model leaves open, by name, with the batch axis.
  package var shapes: [String: [Int]] = [:]
  /// Calibration samples for the model's inputs: arrays by input name, whose first axis counts samples. Called once,
  /// after import; what it throws becomes the error of the compilation.
  package var calibration: (([ModelTensor]) throws -> [String: Tensor])?
  package var quantization = QuantizationOptions()
  package var preprocessing: Preprocessing?
  package var labels: [String] = []

  package init(name: String, producer: String, target: Target) {
    self.name = name
    self.producer = producer
    self.target = target
  }
}

/// A compiled model and what is known about it.
package struct Compilation: Sendable {
  package let module: Module
  package var report: CompileReport
  package let quantized: QuantizedGraph
  /// For the errors of layers; `nil` without calibration samples.
  package let measure: ErrorMeasure?
}

/// ONNX in, module out.
package enum Compiler {
  /// - Parameters:
  ///   - model: the bytes of an `.onnx` file.
  ///   - modelDirectory: where its external data may be; `nil` refuses external data.
  ///   - progress: hears what is being done, for a terminal.
  package static func compile(
    _ model: [UInt8], modelDirectory: FilePath?, options: CompilerOptions,
    progress: (String) -> Void = { _ in }
  ) throws(CompileError) -> Compilation {
    let (quantized, measure) = try quantizeWithMeasure(
      model, modelDirectory: modelDirectory, options: options, progress: progress)
    progress("generating code")
    do {
      let (module, notes, generated) = try CodeGenerator.generateWithNotes(
        quantized, target: options.target, name: options.name, producer: options.producer,
        preprocessing: options.preprocessing, labels: options.labels
      ) { done, count in
        progress("generating code: \(done) of \(count) layers")
      }
      return Compilation(
        module: module, report: try CompileReport(module, notes), quantized: generated, measure: measure)
    } catch {
      throw CompileError("target \(options.target.description)", String(describing: error))
    }
  }

  /// Up to the integer network, before anything is scheduled; parameters as of ``compile(_:modelDirectory:options:progress:)``.
  package static func quantize(
    _ model: [UInt8], modelDirectory: FilePath?, options: CompilerOptions,
    progress: (String) -> Void = { _ in }
  ) throws(CompileError) -> QuantizedGraph {
    try quantizeWithMeasure(model, modelDirectory: modelDirectory, options: options, progress: progress).graph
  }

  private static func quantizeWithMeasure(
    _ model: [UInt8], modelDirectory: FilePath?, options: CompilerOptions, progress: (String) -> Void
  ) throws(CompileError) -> (graph: QuantizedGraph, measure: ErrorMeasure?) {
    progress("importing")
    var graph = try ONNXImporter.graph(
      model, name: options.name, folder: modelDirectory, shapes: options.shapes)
    // Before a reshape goes, and again when its neighbours are one layer.
    graph.passQuantizationBack()
    graph.removeReshapes()
    graph.foldPads()
    try graph.foldScalesAndClips()
    graph.passQuantizationBack()
    try InterfaceCheck(graph).check(options)
    let format = IntegerFormat(
      options.target.configuration,
      canMultiply: options.target.profile.hasMultiply && options.quantization.requantization == .automatic)
    if graph.needsNoCalibration {
      progress("quantizing")
      let statistics = graph.values.map { _ in ActivationStatistics() }
      return (try Quantizer.quantize(graph, statistics, format, options.quantization).graph, nil)
    }
    let samples = try calibrationSamples(for: graph, options)
    let calibration = try Calibration(
      graph, samples: samples, method: options.quantization.calibration, format
    ) { done, count in
      progress("calibrating: \(done) of \(count) samples")
    }
    progress("quantizing")
    let result = try Quantizer.quantize(
      graph, calibration.statistics, format, options.quantization, samples: calibration.samples
    ) { done, count in
      progress("quantizing: \(done) of \(count) samples")
    }
    return (result.graph, ErrorMeasure(graph: result.fused, sample: calibration.firstSample))
  }

  private static func calibrationSamples(
    for graph: Graph, _ options: CompilerOptions
  ) throws(CompileError) -> [String: Tensor] {
    guard let calibration = options.calibration else {
      let place = graph.firstWithoutScale.map { "value \(quoted($0)) is float32, and its range is unknown" }
      throw CompileError(
        "calibration", place ?? "the model computes in float32, and its ranges are unknown",
        remedy: "give samples of its inputs with --calibration FILE.npz or a folder of images")
    }
    let inputs = graph.inputs.map { value in
      ModelTensor(name: graph.values[value].name, dataType: .fp32, shape: graph.values[value].shape)
    }
    do {
      return try calibration(inputs)
    } catch let error as CompileError {
      throw error
    } catch {
      throw CompileError("calibration", String(describing: error))
    }
  }
}
