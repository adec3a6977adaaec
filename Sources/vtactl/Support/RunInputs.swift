internal import VTAModule

/// The `--input` options of a run as tensors.
enum RunInputs {
  /// - Parameter options: `NAME=FILE`, or `FILE` where the model has a single input; `.npy`, or a picture where the
  ///   module says how one becomes its input.
  static func read(_ options: [String], for module: Module) throws(Failure) -> [String: Tensor] {
    var tensors: [String: Tensor] = [:]
    for option in options {
      let (input, path) = try target(option, module)
      guard tensors[input.name] == nil else {
        throw .usage("--input \(option)", "the input \(input.name) is given twice; give each input once")
      }
      tensors[input.name] = try tensor(path, input, module)
    }
    let missing = module.inputs.filter { tensors[$0.name] == nil }.map(\.name)
    guard missing.isEmpty else {
      throw .usage(
        "--input",
        "nothing is given for \(missing.joined(separator: ", ")); add --input \(missing[0])=FILE.npy")
    }
    return tensors
  }

  private static func target(
    _ option: String, _ module: Module
  ) throws(Failure) -> (input: ModelTensor, path: String) {
    if let separator = option.firstIndex(of: "=") {
      let name = option[..<separator]
      if let input = module.inputs.first(where: { $0.name == name }) {
        return (input, String(option[option.index(after: separator)...]))
      }
      if !name.contains("/") && !name.contains(".") {
        throw .usage(
          "--input \(option)", "the model has no input \(name), but \(names(module)); correct the name")
      }
    }
    guard module.inputs.count == 1, let input = module.inputs.first else {
      throw .usage(
        "--input \(option)", "the model has several inputs, \(names(module)); write NAME=FILE")
    }
    return (input, option)
  }

  private static func names(_ module: Module) -> String {
    module.inputs.map(\.name).joined(separator: ", ")
  }

  private static func tensor(
    _ path: String, _ input: ModelTensor, _ module: Module
  ) throws(Failure) -> Tensor {
    guard ImageInput.isImage(path) else {
      let bytes = try FileInput.read(path)
      do { return try NPY.decode(bytes) } catch { throw Failure(path, error) }
    }
    guard let preprocessing = module.preprocessing else {
      throw Failure(
        path,
        "the module does not say how a picture becomes its input; compile it with --preprocess, or pass .npy")
    }
    return try ImageInput.tensor(path: path, shape: input.shape, preprocessing: preprocessing)
  }
}
