private import Foundation
internal import VTAModule

/// Pictures as input of a model, by the preprocessing that its module describes.
enum ImageInput {
  private static let endings = [".png", ".jpg", ".jpeg"]

  static func isImage(_ path: String) -> Bool {
    endings.contains { path.lowercased().hasSuffix($0) }
  }

  /// One picture as a sample: float32, shape of the model's input with a batch of 1.
  ///
  /// - Parameter shape: the input's shape, batch axis first; 4 extents in the preprocessing's layout.
  static func tensor(
    path: String, shape: [Int], preprocessing: Preprocessing
  ) throws(Failure) -> Tensor {
    let channels: Image.Channels = preprocessing.channels == .gray ? .gray : .rgb
    let isPlanar = preprocessing.layout == .nchw
    guard shape.count == 4, shape[isPlanar ? 1 : 3] == channels.rawValue else {
      throw Failure(
        path,
        "the model's input has shape \(shape), which is no picture in layout \(preprocessing.layout.rawValue) "
          + "with \(channels.rawValue) channels; pass an .npy file, or compile with another --preprocess")
    }
    let (height, width) = isPlanar ? (shape[2], shape[3]) : (shape[1], shape[2])
    let values = try Image.read(path, channels: channels).resized(width: width, height: height)
    let count = channels.rawValue
    var result = [Float](repeating: 0, count: values.count)
    for pixel in 0..<height * width {
      for channel in 0..<count {
        let source = preprocessing.channels == .bgr ? count - 1 - channel : channel
        let real = values[pixel * count + source] / 255 * preprocessing.range
        let mean = preprocessing.mean.isEmpty ? 0 : preprocessing.mean[channel % preprocessing.mean.count]
        let deviation =
          preprocessing.deviation.isEmpty
          ? 1 : preprocessing.deviation[channel % preprocessing.deviation.count]
        result[isPlanar ? channel * height * width + pixel : pixel * count + channel] =
          (real - mean) / deviation
      }
    }
    return Tensor(result, shape: [1] + shape.dropFirst())
  }

  /// All pictures of a folder, in the order of their names, stacked along the batch axis.
  static func folder(
    path: String, shape: [Int], preprocessing: Preprocessing
  ) throws(Failure) -> Tensor {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
      throw Failure(path, "the folder can't be read; check the path")
    }
    let images = names.filter(isImage).sorted()
    guard !images.isEmpty else {
      throw Failure(path, "the folder holds no .png or .jpg file; put calibration pictures there")
    }
    var bytes: [UInt8] = []
    for name in images {
      bytes += try tensor(path: path + "/" + name, shape: shape, preprocessing: preprocessing).bytes
    }
    return Tensor(dataType: .fp32, shape: [images.count] + shape.dropFirst(), bytes: bytes)
  }
}
