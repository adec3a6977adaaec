internal import VTA

/// The bytes of the constant region: weight tiles and accumulator constants in the layouts that LOAD expects
/// (reference/vta-hardware.md, section 6). Equal blocks are stored once.
struct ConstantImage {
  private let configuration: HardwareConfiguration
  private(set) var bytes: [UInt8] = []
  private var known: [[UInt8]: UInt64] = [:]

  init(_ configuration: HardwareConfiguration) { self.configuration = configuration }

  /// Places a block at a multiple of the memory's element size.
  mutating func place(_ block: [UInt8], _ memory: MemoryType) -> UInt64 {
    let element = configuration.elementBytes(memory)
    // Deduplicated blocks serve one memory only, so that their alignment is right.
    let key = block + [UInt8(truncatingIfNeeded: memory.rawValue)]
    if let offset = known[key] { return offset }
    bytes += Array(repeating: 0, count: (element - bytes.count % element) % element)
    let offset = UInt64(bytes.count)
    bytes += block
    known[key] = offset
    return offset
  }

  /// Tiles of one block of outputs in the order (input block, tap), zero beyond the channels.
  func tiles(_ weights: GroupedWeights, output: Int, inputs: Range<Int>) -> [UInt8] {
    let block = configuration.block
    var bytes: [UInt8] = []
    for input in inputs {
      for tap in 0..<weights.taps {
        bytes += tile { o, i in weights.value(output * block + o, input * block + i, tap: tap) }
      }
    }
    return bytes
  }

  /// A tile with `value(lane)` on its diagonal.
  func diagonalTile(_ value: (Int) -> Int8) -> [UInt8] {
    tile { o, i in o == i ? value(o) : 0 }
  }

  private func tile(_ value: (_ output: Int, _ input: Int) -> Int8) -> [UInt8] {
    let block = configuration.block
    let bits = configuration.wgtBits
    var bytes = [UInt8](repeating: 0, count: configuration.elementBytes(.wgt))
    for o in 0..<block {
      for i in 0..<block {
        let lane = o * block + i
        let raw = UInt8(bitPattern: value(o, i)) & UInt8((1 << bits) - 1)
        bytes[lane * bits / 8] |= raw << UInt8(lane * bits % 8)
      }
    }
    return bytes
  }

  /// One accumulator tile per block of channels, the same value in every batch row.
  func accumulatorTiles(_ values: [Int32]) -> [UInt8] {
    let block = configuration.block
    var bytes: [UInt8] = []
    for first in stride(from: 0, to: values.count, by: block) {
      for _ in 0..<configuration.batch {
        for lane in 0..<block {
          let value = first + lane < values.count ? values[first + lane] : 0
          withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
      }
    }
    return bytes
  }
}
