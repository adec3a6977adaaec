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

  /// Tiles of a dense kernel in the order (output block, input block, row, column), zero beyond the channels.
  ///
  /// - Parameter weights: `outputs × inputs × taps`.
  func denseTiles(_ weights: [Int8], outputs: Int, inputs: Int, taps: Int) -> [UInt8] {
    let block = configuration.block
    var bytes: [UInt8] = []
    for outputBlock in 0..<(outputs + block - 1) / block {
      for inputBlock in 0..<(inputs + block - 1) / block {
        for tap in 0..<taps {
          bytes += tile { o, i in
            let output = outputBlock * block + o
            let input = inputBlock * block + i
            return output < outputs && input < inputs ? weights[(output * inputs + input) * taps + tap] : 0
          }
        }
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
