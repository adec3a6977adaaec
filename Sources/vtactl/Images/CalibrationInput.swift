private import Foundation
internal import VTAModule

/// `--calibration FILE.npz|DIR`.
enum CalibrationInput {
  /// What the compiler calls once it knows the model's inputs.
  static func reader(
    _ path: String, _ preprocessing: Preprocessing?
  ) throws(Failure) -> ([ModelTensor]) throws -> [String: Tensor] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw Failure(path, "no such file or folder; check the path of --calibration")
    }
    guard isFolder.boolValue else { return { _ in try NPZ.read(path) } }
    return { inputs in
      guard inputs.count == 1, let input = inputs.first else {
        throw Failure(
          path, "a folder of pictures calibrates a single input, the model has \(inputs.count); pass .npz")
      }
      guard let preprocessing else {
        throw Failure(path, "nothing says how a picture becomes the input; add --preprocess FILE.json")
      }
      return [
        input.name: try ImageInput.folder(path: path, shape: input.shape, preprocessing: preprocessing)
      ]
    }
  }
}
