import VTA
import VTAModule

/// A network of one 1×1 convolution, written by hand: two channels, two pixels; the first output channel is twice the
/// first input, the second is the sum of both.
enum TinyModule {
  static let inputScale: Float = 0.5
  static let outputScale: Float = 0.25

  /// What the network gives for one sample of [2 channels][2 pixels], by the definition of quantization.
  static func expected(_ sample: [Float]) -> [Float] {
    let q = sample.map { min(max(($0 / inputScale).rounded(.toNearestOrEven), -128), 127) }
    let sums = [2 * q[0], 2 * q[1], q[0] + q[2], q[1] + q[3]]
    // The store keeps the low eight bits; tests stay inside them.
    return sums.map { $0 * outputScale }
  }

  static func make(target: Target = .sim, finish: Bool = true, extraWait: Bool = false) throws -> Module {
    let c = target.configuration
    let set = try InstructionSet(configuration: c, revision: target.profile.revision)
    var weights = [UInt8](repeating: 0, count: c.elementBytes(.wgt))
    weights[0] = 2
    weights[c.block] = 1
    weights[c.block + 1] = 1
    let loops = LoopNest(uopBegin: 0, uopEnd: 2)
    let transfers: [(MemoryType, Int)] = [(.inp, 2), (.wgt, 1), (.uop, 2)]
    let loads = transfers.map { memory, count in
      Operation.load(Transfer(memory: memory, sramBase: 0, ySize: 1, xSize: count, xStride: count))
    }
    let instructions: [Instruction] = [
      Instruction(loads[0]), Instruction(loads[1], .pushNext), Instruction(loads[2], .popPrev),
      Instruction(.gemm(Gemm(reset: true, loops: loops)), extraWait ? .popNext : []),
      Instruction(.gemm(Gemm(reset: false, loops: loops)), .pushNext),
      Instruction(
        .store(Transfer(memory: .out, sramBase: 0, ySize: 1, xSize: 2, xStride: 2)), [.popPrev, .pushPrev]),
      Instruction(.finish, .popNext),
    ]
    var stream: [UInt8] = []
    for instruction in finish ? instructions : instructions.dropLast() {
      try set.encode(instruction).append(to: &stream)
    }
    var microOps: [UInt8] = []
    for pixel in 0..<2 {
      let bits = try set.encode(MicroOp(dst: pixel, src: pixel))
      microOps += (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * $0)) }
    }
    let outputOffset = UInt64(2 * c.elementBytes(.inp))
    return Module(
      name: "tiny", producer: "tests", target: target,
      inputs: [ModelTensor(name: "x", dataType: .fp32, shape: [1, 2, 1, 2])],
      outputs: [ModelTensor(name: "y", dataType: .fp32, shape: [1, 4])],
      regions: [
        Region(name: "activations", role: .workspace, byteCount: 2 * outputOffset),
        Region(name: "weights", role: .constant(weights), byteCount: UInt64(weights.count)),
        Region(name: "kernels", role: .microOps(microOps), byteCount: UInt64(microOps.count)),
      ],
      deviceTensors: [
        DeviceTensor(
          name: "x_q", region: 0, byteOffset: 0, channels: 2, height: 1, width: 2, scale: inputScale),
        DeviceTensor(
          name: "y_q", region: 0, byteOffset: outputOffset, channels: 2, height: 1, width: 2,
          scale: outputScale),
      ],
      programs: [
        DeviceProgram(
          instructions: stream,
          relocations: [
            Relocation(instruction: 0, region: 0, byteOffset: 0),
            Relocation(instruction: 1, region: 1, byteOffset: 0),
            Relocation(instruction: 2, region: 2, byteOffset: 0),
            Relocation(instruction: 5, region: 0, byteOffset: outputOffset),
          ])
      ],
      steps: [
        .quantize(input: "x", output: 0), .program(0),
        .dequantize(input: 1, output: "nchw", shape: [1, 2, 1, 2]),
        .reshape(input: "nchw", output: "y", shape: [1, 4]),
      ],
      layers: [
        Layer(name: "conv", op: "Conv", place: .accelerator, why: "by hand", program: 0, instructions: 0..<6)
      ])
  }
}

extension Target {
  static var sim: Target { Target.named[0] }

  /// As `sim`, with another number of batch rows.
  static func sim(logBatch: Int) throws -> Target {
    var values = Target.sim.configuration.values
    values["LOG_BATCH"] = logBatch
    return try Target(
      name: "sim", configuration: HardwareConfiguration(values: values), profile: .fsim)
  }
}
