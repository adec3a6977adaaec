internal import Foundation
internal import VTAModule

/// The classes with the highest scores instead of the scores, as Triton's classification extension gives them.
enum Classification {
  /// - Parameters:
  ///   - tensor: Scores, with the batch axis first.
  ///   - count: How many classes of each sample at most.
  ///   - labels: Names of the classes; may be empty.
  /// - Returns: `[samples, classes]` and a `score:index[:label]` for each, preceded by its length.
  static func top(
    _ count: Int, of tensor: Tensor, labels: [String]
  ) throws(ServiceError) -> (shape: [Int], bytes: [UInt8]) {
    guard tensor.dataType == .fp32, let samples = tensor.shape.first, samples > 0 else {
      throw ServiceError(
        .invalidArgument,
        "an output of \(tensor.dataType.rawValue) can't be classified; leave classification out")
    }
    let scores = tensor.elements(as: Float.self)
    let classes = scores.count / samples
    let shown = min(count, classes)
    var bytes: [UInt8] = []
    for sample in 0..<samples {
      let own = scores[(sample * classes)..<((sample + 1) * classes)]
      // What can't be compared comes last; equal scores in the order of the classes.
      let ranked = own.indices.sorted { left, right in
        let (a, b) = (rank(own[left]), rank(own[right]))
        return a == b ? left < right : a > b
      }
      for index in ranked.prefix(shown) {
        let number = index - own.startIndex
        var text = String(format: "%f", own[index]) + ":\(number)"
        if labels.indices.contains(number) { text += ":" + labels[number] }
        append(text, to: &bytes)
      }
    }
    return ([samples, shown], bytes)
  }

  private static func rank(_ score: Float) -> Float { score.isNaN ? -.infinity : score }

  private static func append(_ text: String, to bytes: inout [UInt8]) {
    let encoded = Array(text.utf8)
    withUnsafeBytes(of: UInt32(encoded.count).littleEndian) { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: encoded)
  }
}
