import Testing
import VTA

@testable import VTAModule

@Suite struct PackedLayoutTests {
  /// Every value is found where reference/vta-hardware.md (sections 3.1 and 6) says, read bit by bit.
  @Test(arguments: [(0, 3, 4), (1, 3, 4), (2, 3, 3), (0, 2, 4), (1, 2, 5), (0, 1, 4)])
  func valuesAreWhereTheReferenceSays(logBatch: Int, logWidth: Int, logBlock: Int) throws {
    var values = HardwareConfiguration.default.values
    values["LOG_BATCH"] = logBatch
    values["LOG_INP_WIDTH"] = logWidth
    values["LOG_BLOCK"] = logBlock
    values["LOG_INP_BUFF_SIZE"] = 12 + logWidth
    let c = try HardwareConfiguration(values: values)
    let layout = PackedLayout(configuration: c, channels: c.block + 3, height: 2, width: 3)
    let half = 1 << (c.inpBits - 1)
    for samples in 1...c.batch {
      let count = samples * (c.block + 3) * 6
      let tensor = (0..<count).map { Int8(($0 * 5 + 1) % (2 * half) - half) }
      let bytes = layout.pack(tensor, samples: samples)
      #expect(bytes.count == 2 * 6 * c.elementBytes(.inp))
      #expect(layout.unpack(bytes, samples: samples) == tensor)
      var bits = bytes.flatMap { byte in (0..<8).map { Int(byte >> UInt8($0)) & 1 } }
      for n in 0..<samples {
        for channel in 0..<(c.block + 3) {
          for pixel in 0..<6 {
            let tile = channel / c.block * 6 + pixel
            let lane = (tile * c.batch + n) * c.block + channel % c.block
            let range = (lane * c.inpBits)..<((lane + 1) * c.inpBits)
            let raw = bits[range].reversed().reduce(0) { $0 * 2 + $1 }
            let value = raw >= half ? raw - 2 * half : raw
            #expect(value == Int(tensor[(n * (c.block + 3) + channel) * 6 + pixel]))
            bits.replaceSubrange(range, with: repeatElement(0, count: c.inpBits))
          }
        }
      }
      #expect(!bits.contains(1), "lanes of missing samples and channels are zero")
    }
  }

  /// Each lane of an unfolded tensor is the position that the formula names, and unpacking gives the tensor back.
  @Test(arguments: [
    Unfolding(rows: 2, columns: 2, rowStep: 2, columnStep: 2, height: 4, width: 5, top: 3, left: 1),
    Unfolding(rows: 1, columns: 3, rowStep: 1, columnStep: 1, height: 6, width: 7, top: 1, left: 1),
    Unfolding(rows: 3, columns: 1, rowStep: 2, columnStep: 1, height: 3, width: 8, top: 0, left: 2),
  ])
  func unfolded(_ u: Unfolding) throws {
    let (channels, height, width) = (3, 5, 6)
    #expect(u.covers(height: height, width: width))
    let c = HardwareConfiguration.default
    let layout = PackedLayout(
      configuration: c, channels: channels, height: height, width: width, unfolding: u)
    let tensor = (0..<channels * height * width).map { Int8($0 - 40) }
    let bytes = layout.pack(tensor, samples: 1)
    #expect(layout.unpack(bytes, samples: 1) == tensor)
    for y in 0..<u.height {
      for x in 0..<u.width {
        for lane in 0..<c.block {
          let (row, column) = (
            y * u.rowStep + lane / channels / u.columns - u.top,
            x * u.columnStep + lane / channels % u.columns - u.left
          )
          let isInside =
            lane < channels * u.rows * u.columns && (0..<height).contains(row) && (0..<width).contains(column)
          let expected = isInside ? tensor[(lane % channels * height + row) * width + column] : 0
          #expect(Int8(bitPattern: bytes[(y * u.width + x) * c.block + lane]) == expected)
        }
      }
    }
  }
}
