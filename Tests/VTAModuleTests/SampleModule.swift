import VTA

@testable import VTAModule

/// A module with one of everything that the format has.
enum SampleModule {
  static func make(target: Target = .sim) throws -> Module {
    let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    var stream: [UInt8] = []
    let load = Transfer(memory: .inp, sramBase: 0, ySize: 1, xSize: 4, xStride: 4)
    let store = Transfer(memory: .out, sramBase: 0, ySize: 1, xSize: 2, xStride: 2)
    for operation in [Operation.load(load), .store(store), .finish] {
      try set.encode(Instruction(operation)).append(to: &stream)
    }
    return Module(
      name: "sample", producer: "tests 1", target: target,
      inputs: [ModelTensor(name: "image", dataType: .fp32, shape: [1, 3, 2, 2])],
      outputs: [ModelTensor(name: "class", dataType: .fp32, shape: [1, 2])],
      regions: [
        Region(name: "activations", role: .workspace, byteCount: 8192),
        Region(
          name: "weights", role: .constant((0..<5000).map { UInt8(truncatingIfNeeded: $0 * 7) }),
          byteCount: 5000),
        Region(name: "bias", role: .constant([1, 2, 3]), byteCount: 3),
        Region(name: "kernels", role: .microOps([4, 0, 0, 0]), byteCount: 4),
      ],
      deviceTensors: [
        DeviceTensor(
          name: "x", region: 0, byteOffset: 0, channels: 3, height: 2, width: 2, scale: 0.5,
          unfolding: Unfolding(
            rows: 2, columns: 2, rowStep: 1, columnStep: 2, height: 3, width: 2, top: 1, left: 1)),
        DeviceTensor(name: "y", region: 0, byteOffset: 4096, channels: 2, height: 1, width: 1, scale: 0.25),
      ],
      programs: [
        DeviceProgram(
          instructions: stream,
          relocations: [
            Relocation(instruction: 0, region: 0, byteOffset: 0),
            Relocation(instruction: 1, region: 0, byteOffset: 4096),
          ])
      ],
      steps: [
        .quantize(input: "image", output: 0), .program(0),
        .dequantize(input: 1, output: "logits", shape: [1, 2, 1, 1]),
        .reshape(input: "logits", output: "flat", shape: [1, 2]),
        .activate(input: "flat", output: "active", function: HostFunction(.elu, alpha: 0.5)),
        .transpose(input: "logits", output: "turned", permutation: [0, 3, 1, 2]),
        .concatenate(inputs: ["active", "flat"], output: "both", axis: 1),
        .softmax(input: "flat", output: "class", axis: 1),
      ],
      layers: [
        Layer(
          name: "conv", op: "Conv+Relu", place: .accelerator, why: "direct", program: 0, instructions: 0..<2),
        Layer(name: "softmax", op: "Softmax", place: .host, why: "float", program: nil, instructions: 0..<0),
      ],
      preprocessing: Preprocessing(
        channels: .rgb, layout: .nchw, range: 1, mean: [0.1, 0.2, 0.3], deviation: [1, 2, 4]),
      labels: ["cat", "dog"])
  }
}

extension Target {
  static var sim: Target { Target.named[0] }
}
