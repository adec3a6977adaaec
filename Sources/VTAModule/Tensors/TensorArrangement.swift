/// Orders elements of row-major tensors anew; what host steps and the compiler's float network share.
package enum TensorArrangement {
  /// - Parameter permutation: axis i of the result is axis `permutation[i]` of the values.
  package static func transpose<Element>(
    _ values: [Element], shape: [Int], _ permutation: [Int]
  ) -> [Element] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in shape.indices.dropLast().reversed() { strides[axis] = strides[axis + 1] * shape[axis + 1] }
    // Sources of the result's elements, axis by axis from the front.
    let sources = permutation.reduce([0]) { sources, axis in
      sources.flatMap { source in (0..<shape[axis]).map { source + $0 * strides[axis] } }
    }
    return sources.map { values[$0] }
  }

  /// - Parameter parts: each with how many of its elements lie together in the result.
  package static func concatenate<Element>(_ parts: [(values: [Element], run: Int)]) -> [Element] {
    let runs = parts.first.map { $0.values.count / $0.run } ?? 0
    return (0..<runs).flatMap { index in
      parts.flatMap { $0.values[index * $0.run..<(index + 1) * $0.run] }
    }
  }
}
