internal import ArgumentParser
private import Foundation
private import SystemPackage
private import VTA
internal import VTACompiler
private import VTAModule

struct CompileCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compile", abstract: "Compiles an ONNX model to a .vtab module.",
    discussion: "Float models need calibration samples, from which the ranges of all activations are taken.")

  @Argument(help: "The ONNX file.", completion: .file(extensions: ["onnx"]))
  var model: String

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Where the module is written, a .vtab file.", valueName: "file"),
    completion: .file(extensions: ["vtab"]))
  var output: String

  @Option(
    help: ArgumentHelp(
      "\(Target.named.map(\.name).joined(separator: ", ")), or a VTA configuration file with an optional PROFILE.",
      valueName: "name|file.json"), completion: .list(Target.named.map(\.name)))
  var target = "sim"

  @Option(
    help: ArgumentHelp(
      "Samples for the ranges: an .npz with one array per input, or a folder of pictures.",
      valueName: "file.npz|folder"), completion: .file(extensions: ["npz"]))
  var calibration: String?

  @Option(
    help: ArgumentHelp("Where the report is written as JSON.", valueName: "file.json"),
    completion: .file(extensions: ["json"]))
  var report: String?

  @Option(
    help: ArgumentHelp(
      "How a picture becomes the input, a JSON file; stored in the module.", valueName: "file.json"),
    completion: .file(extensions: ["json"]))
  var preprocess: String?

  @Option(
    help: ArgumentHelp("Class names of the output, one per line; stored in the module.", valueName: "file"),
    completion: .file())
  var labels: String?

  @Option(
    help: ArgumentHelp(
      "The shape of an input whose dimensions the model leaves open, the batch axis first.",
      valueName: "NAME=1,3,224,224"))
  var shape: [String] = []

  @Option(
    help: ArgumentHelp(
      "Where the integer network is written: graph.json and .npy files.", valueName: "folder"),
    completion: .directory)
  var dumpQuantized: String?

  @Option(
    help: "How ranges follow from the samples: min-max, percentile, entropy or mse (least squared error).")
  var calibrationMethod = QuantizationOptions().calibration

  @Option(help: "Scales of activations: free, or powers-of-two (less accurate, for comparison).")
  var scales = QuantizationOptions.Scales.free

  @Option(help: "How sums become outputs: auto multiplies where the accelerator can, shifts never does.")
  var requantization = QuantizationOptions.Requantization.automatic

  @Flag(inversion: .prefixedNo, help: "Ranges of channels are evened out between layers.")
  var equalization = false

  @Flag(inversion: .prefixedNo, help: "Biases make up for the mean error of rounded weights.")
  var biasCorrection = true

  @Flag(inversion: .prefixedNo, help: "Weights are rounded so that their errors cancel on the samples.")
  var errorFeedback = true

  @Flag(help: "Print the report as a table, as on a terminal anyway.")
  var table = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  private struct Result: Encodable {
    let module: String
    let bytes: Int
    let target: String
    /// Layers by where they run; ``report`` has each of them.
    let accelerator: Int
    let host: Int
  }

  func run() async throws {
    let target = try TargetInput.read(target)
    var options = CompilerOptions(
      name: URL(filePath: model).deletingPathExtension().lastPathComponent,
      producer: "vtactl \(Version.text)", target: target)
    options.shapes = try shapes()
    options.quantization.calibration = calibrationMethod
    options.quantization.scales = scales
    options.quantization.correctsBias = biasCorrection
    options.quantization.equalizes = equalization
    options.quantization.requantization = requantization
    options.quantization.feedsErrorsBack = errorFeedback
    options.preprocessing = try preprocess.map(PreprocessingInput.read)
    options.labels = try labels.map(lines) ?? []
    options.calibration = try calibration.map { try CalibrationInput.reader($0, options.preprocessing) }
    let bytes = try FileInput.read(model)
    let progress = Progress()
    var compilation: Compilation
    do {
      defer { progress.end() }
      compilation = try Compiler.compile(
        bytes, modelDirectory: FilePath(model).removingLastComponent(), options: options,
        progress: progress.show)
    } catch {
      throw Failure(model, error)
    }
    let showsTable = !json && (table || isatty(STDOUT_FILENO) == 1)
    if report != nil || showsTable { try await measure(&compilation) }
    try write(compilation, target, showsTable)
  }

  /// Runs the module on the simulator, for the errors of its layers.
  private func measure(_ compilation: inout Compilation) async throws {
    guard let measure = compilation.measure else { return }
    let runner = try await LocalRunner(module: compilation.module, device: "sim", path: model, threads: 0)
    let outcome: RunOutcome
    do { outcome = try await runner.run(measure.inputs, dumpTensors: true) } catch {
      throw Failure(model, error)
    }
    let tensors = Dictionary(uniqueKeysWithValues: outcome.deviceTensors.map { ($0.name, $0.tensor) })
    compilation.report.note(measure.errors(tensors, compilation.module.deviceTensors))
  }

  private func write(_ compilation: Compilation, _ target: Target, _ showsTable: Bool) throws {
    if let dumpQuantized {
      let dump = QuantizedGraphDump(
        compilation.quantized, activationBits: target.configuration.inpBits)
      try FileOutput.makeFolder(dumpQuantized)
      for file in dump.files { try FileOutput.write(file.bytes, to: dumpQuantized + "/" + file.name) }
    }
    if let report { try FileOutput.write(compilation.report.json(), to: report) }
    let module: [UInt8]
    do { module = try ModuleWriter.bytes(of: compilation.module) } catch { throw Failure(model, error) }
    try FileOutput.write(module, to: output)
    let layers = compilation.report.layers
    let device = layers.filter { $0.place == "accelerator" }.count
    let result = Result(
      module: output, bytes: module.count, target: target.description, accelerator: device,
      host: layers.count - device)
    if json { return try JSONOutput.print(result) }
    if showsTable { for line in compilation.report.table() { print(line) } }
    print(
      "\(output): \(result.bytes) bytes for \(result.target); \(device) layers on the accelerator, "
        + "\(result.host) on the host")
    if let caveat = target.profile.caveat { print("profile \(target.profile.name): \(caveat)") }
  }

  private func shapes() throws(Failure) -> [String: [Int]] {
    var shapes: [String: [Int]] = [:]
    for option in shape {
      let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let extents = parts.last?.split(separator: ",").map { Int($0) } ?? []
      guard parts.count == 2, !extents.isEmpty, extents.allSatisfy({ $0 ?? 0 > 0 }) else {
        throw .usage("--shape \(option)", "is no NAME=1,3,224,224; extents are positive")
      }
      shapes[String(parts[0])] = extents.compactMap { $0 }
    }
    return shapes
  }

  private func lines(_ path: String) throws(Failure) -> [String] {
    String(decoding: try FileInput.read(path), as: UTF8.self)
      .split(whereSeparator: \.isNewline).map(String.init)
  }
}

extension QuantizationOptions.CalibrationMethod: ExpressibleByArgument {}
extension QuantizationOptions.Scales: ExpressibleByArgument {}
extension QuantizationOptions.Requantization: ExpressibleByArgument {}
