internal import VTAModule

/// A folder of `.npy` files named after tensors.
enum ArrayFolder {
  /// Bytes outside `[A-Za-z0-9._-]` become `_`.
  static func fileName(_ tensor: String) -> String {
    let safe = tensor.utf8.map { byte -> Character in
      let scalar = Unicode.Scalar(byte)
      let isSafe = scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil)
      return isSafe || "._-".unicodeScalars.contains(scalar) ? Character(scalar) : "_"
    }
    return String(safe) + ".npy"
  }

  /// - Throws: ``Failure`` if two names become the same file name; nothing is written then.
  static func checkNames(_ names: some Sequence<String>) throws(Failure) {
    var known: [String: String] = [:]
    for name in names {
      let file = fileName(name)
      if let other = known.updateValue(name, forKey: file) {
        throw Failure(
          file, "the tensors \(other) and \(name) would both be written to it; rename one in the model")
      }
    }
  }

  /// Writes the tensors, and makes the folder if there is none.
  ///
  /// - Returns: the paths, in the order of the tensors.
  @discardableResult
  static func write(
    _ tensors: [(name: String, tensor: Tensor)], to folder: String
  ) throws(Failure) -> [String] {
    try checkNames(tensors.map(\.name))
    try FileOutput.makeFolder(folder)
    var paths: [String] = []
    for (name, tensor) in tensors {
      let path = folder + "/" + fileName(name)
      try FileOutput.write(NPY.encode(tensor), to: path)
      paths.append(path)
    }
    return paths
  }
}
