/// Convolution of float tensors as blocked matrix multiplication, and what else takes long: the one file with unsafe buffers of the compiler.
/// Sums are formed in the same order for each output, whatever the machine, so results are reproducible.

/// The weights of a convolution, `rows × depth`, interleaved by fours of rows for the inner loop.
struct PackedWeights: Sendable {
  static let rowGroup = 4
  let rows: Int
  let depth: Int
  /// `[row / 4][depth][row mod 4]`, zeros beyond the last row.
  fileprivate let values: [Float]

  init(_ weights: [Float], rows: Int) {
    self.rows = rows
    depth = weights.count / rows
    let group = Self.rowGroup
    var values = [Float](repeating: 0, count: (rows + group - 1) / group * group * depth)
    for row in 0..<rows {
      let start = row / group * group * depth + row % group
      for index in 0..<depth { values[start + index * group] = weights[row * depth + index] }
    }
    self.values = values
  }
}

/// Blocks that fit the caches: one of the unrolled input (depth × columns) and one of the output.
private enum Block {
  static let depth = 256
  static let columns = 128
  /// A row of a block in memory: not a power of two, so that rows fall into different cache sets.
  static let pitch = 136
  static let vector = 8
}

/// `output[o, y, x] += Σ weights[o, c, i, j] · input[c, y·stride + i − top, x·stride + j − left]`, zero outside.
///
/// - Parameters:
///   - input: `channels × height × width`.
///   - output: `rows × outputHeight × outputWidth`.
func accumulateConvolution(
  _ input: [Float], _ geometry: Geometry, _ weights: PackedWeights, _ window: Window,
  into output: inout [Float],
  outputWidth: Int
) {
  let positions = output.count / weights.rows
  let groups = (weights.rows + PackedWeights.rowGroup - 1) / PackedWeights.rowGroup
  let unroller = Unroller(geometry: geometry, window: window, outputWidth: outputWidth)
  let unrolled = UnsafeMutablePointer<Float>.allocate(capacity: Block.depth * Block.pitch)
  let sums = UnsafeMutablePointer<Float>.allocate(capacity: groups * PackedWeights.rowGroup * Block.pitch)
  unrolled.initialize(repeating: 0, count: Block.depth * Block.pitch)
  defer {
    unrolled.deallocate()
    sums.deallocate()
  }
  input.withUnsafeBufferPointer { input in
    weights.values.withUnsafeBufferPointer { weightValues in
      output.withUnsafeMutableBufferPointer { output in
        guard let input = input.baseAddress, let weightValues = weightValues.baseAddress,
          let output = output.baseAddress
        else { return }
        for first in stride(from: 0, to: positions, by: Block.columns) {
          let columns = min(Block.columns, positions - first)
          sums.initialize(repeating: 0, count: groups * PackedWeights.rowGroup * Block.pitch)
          for start in stride(from: 0, to: weights.depth, by: Block.depth) {
            let depth = min(Block.depth, weights.depth - start)
            unroller.fill(
              unrolled, from: input, depth: start..<start + depth, columns: first..<first + columns)
            for group in 0..<groups {
              let rows = weightValues + (group * weights.depth + start) * PackedWeights.rowGroup
              let sums = sums + group * PackedWeights.rowGroup * Block.pitch
              for column in stride(from: 0, to: columns, by: Block.vector) {
                multiply(rows, unrolled + column, depth: depth, into: sums + column)
              }
            }
          }
          for row in 0..<weights.rows {
            let (to, from) = (output + row * positions + first, sums + row * Block.pitch)
            for column in 0..<columns { to[column] += from[column] }
          }
        }
      }
    }
  }
}

/// Four rows of weights times eight columns, added to `sums` (rows `Block.pitch` apart).
@inline(__always)
private func multiply(
  _ weights: UnsafePointer<Float>, _ columns: UnsafeMutablePointer<Float>, depth: Int,
  into sums: UnsafeMutablePointer<Float>
) {
  typealias Vector = SIMD8<Float>
  @inline(__always) func load(_ row: Int) -> Vector {
    UnsafeRawPointer(sums + row * Block.pitch).loadUnaligned(as: Vector.self)
  }
  @inline(__always) func store(_ vector: Vector, _ row: Int) {
    UnsafeMutableRawPointer(sums + row * Block.pitch).storeBytes(of: vector, as: Vector.self)
  }
  var (sum0, sum1, sum2, sum3) = (load(0), load(1), load(2), load(3))
  var (weight, column) = (weights, UnsafePointer(columns))
  for _ in 0..<depth {
    let values = UnsafeRawPointer(column).loadUnaligned(as: Vector.self)
    sum0 += values * weight[0]
    sum1 += values * weight[1]
    sum2 += values * weight[2]
    sum3 += values * weight[3]
    weight += PackedWeights.rowGroup
    column += Block.pitch
  }
  store(sum0, 0)
  store(sum1, 1)
  store(sum2, 2)
  store(sum3, 3)
}

/// Unrolls the windows of a convolution: row (c, i, j), column (y, x).
private struct Unroller {
  let geometry: Geometry
  let window: Window
  let outputWidth: Int

  func fill(
    _ block: UnsafeMutablePointer<Float>, from input: UnsafePointer<Float>, depth: Range<Int>,
    columns: Range<Int>
  ) {
    let (kernel, stride) = (window.kernel, window.stride)
    for (row, index) in depth.enumerated() {
      let channel = index / (kernel.height * kernel.width)
      let (i, j) = (index / kernel.width % kernel.height, index % kernel.width)
      let plane = input + channel * geometry.positions
      let to = block + row * Block.pitch
      // The output columns inside..<outside see an input column, the others padding.
      let left = window.padding.left - j
      let inside = max(0, (left + stride.width - 1) / stride.width)
      let outside = max(0, (geometry.width + left + stride.width - 1) / stride.width)
      var column = columns.lowerBound
      while column < columns.upperBound {
        let (y, x) = (column / outputWidth, column % outputWidth)
        let end = min(columns.upperBound - column + x, outputWidth)
        let target = to + (column - columns.lowerBound) - x
        let inputRow = y * stride.height + i - window.padding.top
        let seesRow = inputRow >= 0 && inputRow < geometry.height
        let low = seesRow ? min(max(x, inside), end) : end
        let high = max(low, min(outside, end))
        for at in x..<low { target[at] = 0 }
        if low < high {
          let source = plane + inputRow * geometry.width - left
          if stride.width == 1 {
            (target + low).update(from: source + low, count: high - low)
          } else {
            for at in low..<high { target[at] = source[at * stride.width] }
          }
        }
        for at in high..<end { target[at] = 0 }
        column += end - x
      }
    }
  }
}

// MARK: - Symmetric matrices

/// R of `matrix = Rᵀ R`, upper triangular, each row divided by its diagonal; `nil` if the matrix is not positive definite.
///
/// - Parameter matrix: symmetric, `width × width`; what lies below the diagonal is not read.
func normalizedTriangle(_ matrix: [Float], _ width: Int) -> [Float]? {
  var result = matrix
  let isPositive = result.withUnsafeMutableBufferPointer { buffer -> Bool in
    guard let base = buffer.baseAddress else { return false }
    for row in 0..<width {
      let from = base + row * width
      let pivot = from[row]
      guard pivot > 0, pivot.isFinite else { return false }
      for other in row + 1..<width {
        let factor = from[other] / pivot
        if factor == 0 { continue }
        let to = base + other * width
        for column in other..<width { to[column] -= factor * from[column] }
      }
      for column in row..<width { from[column] /= pivot }
    }
    return true
  }
  return isPositive ? result : nil
}

/// `sums[k] += Σ over j > row of factor[row, j] · rows[j, k]`.
///
/// - Parameters:
///   - factor: `width × width`.
///   - rows: `width × sums.count`.
func addProducts(_ factor: [Float], row: Int, width: Int, _ rows: [Float], into sums: inout [Float]) {
  let count = sums.count
  factor.withUnsafeBufferPointer { factor in
    rows.withUnsafeBufferPointer { rows in
      sums.withUnsafeMutableBufferPointer { sums in
        guard let factor = factor.baseAddress, let rows = rows.baseAddress, let sums = sums.baseAddress else {
          return
        }
        for other in row + 1..<width {
          let (value, from) = (factor[row * width + other], rows + other * count)
          for index in 0..<count { sums[index] += value * from[index] }
        }
      }
    }
  }
}
