internal import VTA

/// How a layer is cut: output blocks, rows and columns of one tile. Everything counts in blocks and pixels.
struct Tiling: Hashable {
  var outputBlocks: Int
  var rows: Int
  var columns: Int

  /// Sizes worth trying for an extent: those that cut it into equal parts as far as possible.
  static func candidates(_ extent: Int) -> [Int] {
    var sizes: [Int] = []
    var parts = 1
    while parts <= extent {
      let size = (extent + parts - 1) / parts
      if size != sizes.last { sizes.append(size) }
      // The next number of parts that gives a smaller size.
      parts = size == 1 ? extent + 1 : max(parts + 1, (extent + size - 2) / (size - 1))
    }
    return sizes
  }

  /// Ranges of `size` that cover `0..<extent`.
  static func ranges(_ extent: Int, _ size: Int) -> [Range<Int>] {
    stride(from: 0, to: extent, by: size).map { $0..<min($0 + size, extent) }
  }
}

/// A window of an input that a tile of outputs needs along one axis, and the padding around it.
struct InputWindow: Hashable {
  /// Input positions that exist.
  let valid: Range<Int>
  let before: Int
  let after: Int

  /// Extent with padding.
  var extent: Int { before + valid.count + after }

  /// - Parameters:
  ///   - outputs: output positions of the tile.
  ///   - taps: kernel positions that are used.
  ///   - padding: zeros before the first input position.
  init(outputs: Range<Int>, taps: Range<Int>, stride: Int, padding: Int, extent: Int) {
    let first = outputs.lowerBound * stride + taps.lowerBound - padding
    let end = (outputs.upperBound - 1) * stride + taps.upperBound - padding
    let lower = min(max(0, first), extent)
    let upper = max(lower, min(end, extent))
    valid = lower..<upper
    before = max(0, min(lower, end) - first)
    after = end - first - before - valid.count
  }
}

extension InputWindow {
  /// Positions without padding.
  init(valid: Range<Int>) {
    self.valid = valid
    before = 0
    after = 0
  }
}
