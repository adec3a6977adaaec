import VTA
import VTAModule

/// The smallest model that there is: it rounds its input to halves from -64 to 63.5 (int8 of scale 0.5).
enum TinyModule {
  static let channels = 4

  /// - Parameter padding: Bytes of constants that nothing uses.
  static func file(padding: Int = 1) throws -> [UInt8] {
    try ModuleWriter.bytes(
      of: Module(
        name: "rounding", producer: "tests", target: Target.named[0],
        inputs: [ModelTensor(name: "x", dataType: .fp32, shape: [1, channels, 1, 1])],
        outputs: [ModelTensor(name: "y", dataType: .fp32, shape: [1, channels, 1, 1])],
        regions: [
          Region(name: "activations", role: .workspace, byteCount: 4096),
          Region(
            name: "padding", role: .constant([UInt8](repeating: 7, count: padding)),
            byteCount: UInt64(padding)),
        ],
        deviceTensors: [
          DeviceTensor(
            name: "q", region: 0, byteOffset: 0, channels: channels, height: 1, width: 1, scale: 0.5)
        ],
        programs: [],
        steps: [
          .quantize(input: "x", output: 0), .dequantize(input: 0, output: "y", shape: [1, channels, 1, 1]),
        ],
        layers: []))
  }

  static func input(_ values: [Float]) -> Tensor {
    Tensor(values, shape: [values.count / channels, channels, 1, 1])
  }

  /// Half to even, as IEEE 754 rounds.
  static func expected(_ values: [Float]) -> [Float] {
    values.map { Float(Int8(max(-128, min(127, ($0 / 0.5).rounded(.toNearestOrEven))))) * 0.5 }
  }
}
