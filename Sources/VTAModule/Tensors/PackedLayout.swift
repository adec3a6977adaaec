package import VTA

/// An activation of BATCH samples in device memory, `NCHW{BATCH}n{BLOCK}c` (reference/vta-hardware.md, section 6).
///
/// Tile `(c / BLOCK · H + h) · W + w` holds lanes `n · BLOCK + c mod BLOCK`, each INP-width bits wide; where a lane is
/// narrower than a byte, lane 0 is in the least significant bits (section 3.1).
package struct PackedLayout: Hashable, Sendable {
  package let batch: Int
  package let block: Int
  package let laneBits: Int
  package let channels: Int
  package let height: Int
  package let width: Int
  private let unfolding: Unfolding
  /// What an unfolded tensor holds outside its positions.
  private let outside: Int8

  /// - Precondition: the sizes are positive and their product was checked (``ModuleCheck``).
  package init(
    configuration: HardwareConfiguration, channels: Int, height: Int, width: Int, unfolding: Unfolding? = nil,
    outside: Int8 = 0
  ) {
    batch = configuration.batch
    block = configuration.block
    laneBits = configuration.inpBits
    self.channels = channels
    self.height = height
    self.width = width
    self.outside = outside
    self.unfolding =
      unfolding
      ?? Unfolding(
        rows: 1, columns: 1, rowStep: 1, columnStep: 1, height: height, width: width, top: 0, left: 0)
  }

  private var packedChannels: Int { unfolding.rows * unfolding.columns * channels }
  private var laneCount: Int {
    (packedChannels + block - 1) / block * unfolding.height * unfolding.width * batch * block
  }

  /// Bytes of the packed tensor, padding lanes included. An element is at least a byte, so this is exact.
  package var byteCount: Int { laneCount * laneBits / 8 }

  /// - Parameters:
  ///   - values: `samples × channels × height × width`, row-major, each within the lane's signed range.
  ///   - samples: 1…BATCH.
  /// - Returns: all bytes of the tensor; lanes of missing samples and channels are zero.
  package func pack(_ values: [Int8], samples: Int) -> [UInt8] {
    precondition(samples <= batch && values.count == samples * channels * height * width)
    if laneBits == 8 { return packBytes(values, samples: samples) }
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let mask = UInt8(truncatingIfNeeded: (1 << laneBits) - 1)
    forEachLane(samples: samples) { index, lane in
      let bit = lane * laneBits
      bytes[bit >> 3] |= (UInt8(bitPattern: index.map { values[$0] } ?? outside) & mask) << UInt8(bit & 7)
    }
    return bytes
  }

  /// The same for lanes of whole bytes, row by row.
  private func packBytes(_ values: [Int8], samples: Int) -> [UInt8] {
    let (u, distance) = (unfolding, batch * block)
    let fill = UInt8(bitPattern: outside)
    var bytes = [UInt8](repeating: 0, count: byteCount)
    bytes.withUnsafeMutableBytes { bytes in
      values.withUnsafeBytes { values in
        for n in 0..<samples {
          for packed in 0..<packedChannels {
            let (i, j, channel) = (
              packed / channels / u.columns, packed / channels % u.columns, packed % channels
            )
            let lane = (packed / block * u.height * u.width * batch + n) * block + packed % block
            // Positions that see a column of the input.
            let firstColumn = j - u.left
            let begin = min(u.width, max(0, (u.columnStep - 1 - firstColumn) / u.columnStep))
            let end = max(begin, min(u.width, (width - firstColumn + u.columnStep - 1) / u.columnStep))
            for y in 0..<u.height {
              let row = y * u.rowStep + i - u.top
              let inside = row >= 0 && row < height ? begin..<end : 0..<0
              var target = lane + y * u.width * distance
              var source = ((n * channels + channel) * height + row) * width + firstColumn
              for x in 0..<u.width {
                bytes[target] = inside.contains(x) ? values[source] : fill
                target &+= distance
                source &+= u.columnStep
              }
            }
          }
        }
      }
    }
    return bytes
  }

  /// - Returns: `samples × channels × height × width`, row-major, sign-extended.
  package func unpack(_ bytes: [UInt8], samples: Int) -> [Int8] {
    precondition(samples <= batch && bytes.count == byteCount)
    var values = [Int8](repeating: 0, count: samples * channels * height * width)
    let unused = UInt8(8 - laneBits)
    forEachLane(samples: samples) { index, lane in
      guard let index else { return }
      let bit = lane * laneBits
      values[index] = Int8(bitPattern: (bytes[bit >> 3] >> UInt8(bit & 7)) << unused) >> Int8(unused)
    }
    return values
  }

  /// Calls `body` with the index in row-major N, C, H, W and the packed lane of every real value, more than once where
  /// unfolding repeats it, and with no index for lanes outside the tensor's positions.
  @inline(__always)
  private func forEachLane(samples: Int, _ body: (_ index: Int?, _ lane: Int) -> Void) {
    let u = unfolding
    let pixels = u.height * u.width
    for n in 0..<samples {
      for packed in 0..<packedChannels {
        let (i, j, channel) = (
          packed / channels / u.columns, packed / channels % u.columns, packed % channels
        )
        let lane = (packed / block * pixels * batch + n) * block + packed % block
        for y in 0..<u.height {
          let row = y * u.rowStep + i - u.top
          let isInside = row >= 0 && row < height
          let first = ((n * channels + channel) * height + row) * width
          var column = j - u.left
          for x in 0..<u.width {
            let seesInput = isInside && column >= 0 && column < width
            body(seesInput ? first + column : nil, lane + (y * u.width + x) * batch * block)
            column += u.columnStep
          }
        }
      }
    }
  }
}

extension DeviceTensor {
  package func layout(_ configuration: HardwareConfiguration) -> PackedLayout {
    PackedLayout(
      configuration: configuration, channels: channels, height: height, width: width, unfolding: unfolding,
      outside: Int8(truncatingIfNeeded: zeroPoint))
  }
}
