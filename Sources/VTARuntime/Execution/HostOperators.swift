private import Glibc
private import VTA

/// Steps that the host takes, in float32. Values hold whole samples one after the other.
enum HostOperators {
  /// `clip(rint(x / scale) + zero, low, high)`, half to even; not-a-number becomes the zero point.
  static func quantize(
    _ values: some Collection<Float>, scale: Float, zero: Float = 0, low: Float, high: Float
  ) -> [Int8] {
    func loop(_ values: UnsafeBufferPointer<Float>) -> [Int8] {
      HostLoops.quantize(values, scale: scale, zero: zero, low: low, high: high)
    }
    return values.withContiguousStorageIfAvailable(loop) ?? Array(values).withUnsafeBufferPointer(loop)
  }

  static func dequantize(_ values: [Int8], scale: Float, zero: Float = 0) -> [Float] {
    values.map { (Float($0) - zero) * scale }
  }

  /// Softmax along one axis; the largest value is subtracted first.
  /// - Parameters:
  ///   - extent: of the axis.
  ///   - stride: product of the extents behind it.
  static func softmax(_ values: [Float], extent: Int, stride: Int) -> [Float] {
    var result = values
    for block in Swift.stride(from: 0, to: values.count, by: extent * stride) {
      for lane in block..<(block + stride) {
        let indices = Swift.stride(from: lane, to: lane + extent * stride, by: stride)
        let largest = indices.reduce(-Float.infinity) { max($0, values[$1]) }
        var sum: Float = 0
        for index in indices {
          result[index] = expf(values[index] - largest)
          sum += result[index]
        }
        for index in indices { result[index] /= sum }
      }
    }
    return result
  }
}
