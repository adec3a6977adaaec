private import CVTAKernels

/// Loops over whole tensors that the host takes, as C compiles them.
package enum HostLoops {
  /// `clip(rint(x / scale) + zero, low, high)`, half to even; not-a-number becomes `zero`.
  ///
  /// - Precondition: the bounds and `zero` are integers in int8's range.
  package static func quantize(
    _ values: UnsafeBufferPointer<Float>, scale: Float, zero: Float, low: Float, high: Float
  ) -> [Int8] {
    [Int8](unsafeUninitializedCapacity: values.count) { buffer, count in
      if let from = values.baseAddress, let to = buffer.baseAddress {
        vta_quantize(from, to, values.count, scale, zero, low, high)
      }
      count = values.count
    }
  }
}
