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

  /// - Precondition: the sizes are positive and their product was checked (``ModuleCheck``).
  package init(configuration: HardwareConfiguration, channels: Int, height: Int, width: Int) {
    batch = configuration.batch
    block = configuration.block
    laneBits = configuration.inpBits
    self.channels = channels
    self.height = height
    self.width = width
  }

  private var channelBlocks: Int { (channels + block - 1) / block }
  private var laneCount: Int { channelBlocks * height * width * batch * block }

  /// Bytes of the packed tensor, padding lanes included. An element is at least a byte, so this is exact.
  package var byteCount: Int { laneCount * laneBits / 8 }

  /// - Parameters:
  ///   - values: `samples × channels × height × width`, row-major, each within the lane's signed range.
  ///   - samples: 1…BATCH.
  /// - Returns: all bytes of the tensor; lanes of missing samples and channels are zero.
  package func pack(_ values: [Int8], samples: Int) -> [UInt8] {
    precondition(samples <= batch && values.count == samples * channels * height * width)
    var bytes = [UInt8](repeating: 0, count: byteCount)
    let mask = UInt8(truncatingIfNeeded: (1 << laneBits) - 1)
    forEachLane(samples: samples) { index, lane in
      let bit = lane * laneBits
      bytes[bit >> 3] |= (UInt8(bitPattern: values[index]) & mask) << UInt8(bit & 7)
    }
    return bytes
  }

  /// - Returns: `samples × channels × height × width`, row-major, sign-extended.
  package func unpack(_ bytes: [UInt8], samples: Int) -> [Int8] {
    precondition(samples <= batch && bytes.count == byteCount)
    var values = [Int8](repeating: 0, count: samples * channels * height * width)
    let unused = UInt8(8 - laneBits)
    forEachLane(samples: samples) { index, lane in
      let bit = lane * laneBits
      values[index] = Int8(bitPattern: (bytes[bit >> 3] >> UInt8(bit & 7)) << unused) >> Int8(unused)
    }
    return values
  }

  /// Calls `body` with the index in row-major N, C, H, W and the packed lane of every real value.
  private func forEachLane(samples: Int, _ body: (_ index: Int, _ lane: Int) -> Void) {
    let pixels = height * width
    for n in 0..<samples {
      for c in 0..<channels {
        let first = (n * channels + c) * pixels
        let lane = (c / block * pixels * batch + n) * block + c % block
        for pixel in 0..<pixels { body(first + pixel, lane + pixel * batch * block) }
      }
    }
  }
}

extension DeviceTensor {
  package func layout(_ configuration: HardwareConfiguration) -> PackedLayout {
    PackedLayout(configuration: configuration, channels: channels, height: height, width: width)
  }
}
