private import VTA
private import VTACompiler
private import VTAModule

extension FuzzedDecoder {
  /// ONNX files: import only, since calibration costs what the model costs.
  static let onnx = FuzzedDecoder(name: "onnx") { bytes in
    struct Imported: Error {}
    var options = CompilerOptions(name: "fuzzed", producer: "fuzz", target: Target.named[0])
    options.calibration = { _ in throw Imported() }
    _ = try? Compiler.quantize(bytes, modelDirectory: nil, options: options)
    return nil
  }

  /// VTA's JSON configuration files. What is accepted has an instruction set and is accepted again.
  static let configuration = FuzzedDecoder(name: "configuration") { bytes in
    guard let target = try? Target(json: bytes) else { return nil }
    let values = target.configuration.values
    guard let again = try? HardwareConfiguration(values: values), again == target.configuration else {
      return "the accepted configuration \(values) is refused when it is given again"
    }
    return nil
  }

  /// `.npy` files. What is accepted is written and read again.
  static let array = FuzzedDecoder(name: "npy") { bytes in
    guard let tensor = try? NPY.decode(bytes) else { return nil }
    guard let again = try? NPY.decode(NPY.encode(tensor)), again == tensor else {
      return "an array of shape \(tensor.shape) changes when it is written and read again"
    }
    return nil
  }
}
