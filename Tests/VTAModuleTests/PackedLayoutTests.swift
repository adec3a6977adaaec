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
}
