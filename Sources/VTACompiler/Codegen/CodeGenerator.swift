package import VTA
package import VTAModule

/// Integer network → module: places tensors and constants, emits the device programs, keeps the host steps in order.
package enum CodeGenerator {
  private static let constantRegion = 0
  private static let microOpRegion = 1
  private static let activationRegion = 2

  /// - Throws: ``CodegenError`` naming the layer that the target can't run.
  package static func generate(
    _ graph: QuantizedGraph, target: Target, name: String, producer: String,
    preprocessing: Preprocessing?, labels: [String]
  ) throws(CodegenError) -> Module {
    try generateWithNotes(
      graph, target: target, name: name, producer: producer, preprocessing: preprocessing, labels: labels
    ).module
  }

  /// - Returns: the module, a note for each of its layers, and the graph, which says of its values what stays on chip.
  package static func generateWithNotes(
    _ graph: QuantizedGraph, target: Target, name: String, producer: String,
    preprocessing: Preprocessing?, labels: [String],
    progress: (_ done: Int, _ count: Int) -> Void = { _, _ in }
  ) throws(CodegenError) -> (module: Module, notes: [LayerNote], graph: QuantizedGraph) {
    let (spread, unfoldings) = InputUnfolding.apply(to: graph, target.configuration)
    var image = ConstantImage(target.configuration)
    let constants = placeConstants(graph, in: &image, target.configuration)
    let joined = JoinedTensors(spread, target.configuration)
    func emitter(_ tensors: [DeviceTensor]) -> LayerEmitter {
      LayerEmitter(
        target: target, graph: spread, tensors: tensors, joined: joined, constants: image,
        constantRegion: constantRegion, microOpRegion: microOpRegion)
    }
    var graph = graph
    let pooled = PooledLayers(
      spread, emitter(placeTensors(graph, unfoldings, joined, constants, target.configuration).tensors))
    for value in pooled.onChip { graph.values[value].isOnChip = true }
    let (tensors, activationBytes) = placeTensors(graph, unfoldings, joined, constants, target.configuration)
    var emitter = emitter(tensors)
    var assembly = Assembly(target: target)
    for index in spread.steps.indices where !pooled.isMerged(index) {
      progress(index, spread.steps.count)
      try assembly.add(
        pooled.described(index), pool: pooled.pool(of: index), &emitter, microOpRegion: microOpRegion)
    }
    try assembly.endProgram(&emitter, microOpRegion: microOpRegion)
    let microOps = try assembly.encodedMicroOps()
    let stored = graph.values.indices.filter { !graph.values[$0].isOnChip && constants[$0] == nil }
    assembly.renumber(Dictionary(uniqueKeysWithValues: zip(stored, stored.indices)))
    let module = Module(
      name: name, producer: producer, target: target, inputs: graph.inputs, outputs: graph.outputs,
      regions: [
        region("constants", emitter.constants.bytes) { .constant($0) },
        region("micro-ops", microOps) { .microOps($0) },
        Region(name: "activations", role: .workspace, byteCount: max(1, activationBytes)),
      ],
      deviceTensors: stored.map { tensors[$0] }, programs: assembly.programs, steps: assembly.steps,
      layers: assembly.layers, preprocessing: preprocessing, labels: labels)
    return (module, assembly.notes, graph)
  }

  /// A region is never empty, so that it always has an address.
  private static func region(_ name: String, _ bytes: [UInt8], _ role: ([UInt8]) -> Region.Role) -> Region {
    let bytes = bytes.isEmpty ? [0] : bytes
    return Region(name: name, role: role(bytes), byteCount: UInt64(bytes.count))
  }

  /// Where the values that nothing computes lie among the constants, the same for every sample of a batch.
  private static func placeConstants(
    _ graph: QuantizedGraph, in image: inout ConstantImage, _ configuration: HardwareConfiguration
  ) -> [Int: UInt64] {
    var places: [Int: UInt64] = [:]
    for (index, value) in graph.values.enumerated() {
      guard let elements = value.constant else { continue }
      let layout = PackedLayout(
        configuration: configuration, channels: value.channels, height: value.height, width: value.width)
      let samples = (0..<configuration.batch).flatMap { _ in elements }
      places[index] = image.place(layout.pack(samples, samples: configuration.batch), .inp)
    }
    return places
  }

  /// Every value gets memory of its own or as part of another value, so that all of them can be looked at after a run; only
  /// what stays on chip gets none.
  private static func placeTensors(
    _ graph: QuantizedGraph, _ unfoldings: [Int: Unfolding], _ joined: JoinedTensors,
    _ constants: [Int: UInt64], _ configuration: HardwareConfiguration
  ) -> (tensors: [DeviceTensor], byteCount: UInt64) {
    var offset: UInt64 = 0
    var tensors: [DeviceTensor] = []
    for (index, value) in graph.values.enumerated() {
      let tensor = DeviceTensor(
        name: value.name, region: activationRegion, byteOffset: offset, channels: value.channels,
        height: value.height, width: value.width, scale: value.scale,
        zeroPoint: value.zeroPoint, unfolding: unfoldings[index])
      if let place = constants[index] {
        tensors.append(tensor)
        (tensors[index].region, tensors[index].byteOffset) = (constantRegion, place)
        continue
      }
      if joined.parts[index] == nil, !value.isOnChip { offset += tensor.byteCount(configuration) }
      tensors.append(tensor)
    }
    for index in tensors.indices where joined.parts[index] != nil {
      let (root, channel) = joined.place(of: index)
      let element = channel / configuration.block * tensors[index].height * tensors[index].width
      tensors[index].byteOffset =
        tensors[root].byteOffset + UInt64(element * configuration.elementBytes(.inp))
    }
    return (tensors, offset)
  }
}

/// Collects steps and programs: neighbouring device layers share a program.
private struct Assembly {
  let target: Target
  var programs: [DeviceProgram] = []
  var steps: [Step] = []
  var layers: [Layer] = []
  var notes: [LayerNote] = []
  private var microOps: [MicroOp] = []

  init(target: Target) { self.target = target }

  mutating func add(
    _ step: QuantizedStep, pool: (layer: MaxPool, output: Int)?, _ emitter: inout LayerEmitter,
    microOpRegion: Int
  ) throws(CodegenError) {
    switch step.operation {
    case .accumulate(_, let output) where emitter.joined.isWhole(output):
      var step = step
      step.why = "its parts are written to their places in it by the layers that compute them"
      addJoined(step, output, emitter.builder.count)
    case .accumulate(let layer, let output):
      let first = emitter.builder.count
      try emitter.emit(layer, output: output, pool: pool, step: step)
      addDeviceLayer(step, first..<emitter.builder.count, emitter.lastNote)
    case .maxPool(let pool, let output):
      let first = emitter.builder.count
      try emitter.emit(pool, output: output, step: step)
      addDeviceLayer(step, first..<emitter.builder.count, emitter.lastNote)
    case .quantize(let input, let output):
      try addHostStep(.quantize(input: input, output: output), step, &emitter, microOpRegion)
    case .dequantize(let input, let output, let shape):
      try addHostStep(
        .dequantize(input: input, output: output, shape: shape), step, &emitter, microOpRegion)
    case .softmax(let input, let output, let axis):
      try addHostStep(
        .softmax(input: input, output: output, axis: axis), step, &emitter, microOpRegion)
    case .reshape(let input, let output, let shape):
      try addHostStep(
        .reshape(input: input, output: output, shape: shape), step, &emitter, microOpRegion)
    case .activate(let input, let output, let function):
      try addHostStep(
        .activate(input: input, output: output, function: function), step, &emitter, microOpRegion)
    case .transpose(let input, let output, let permutation):
      try addHostStep(
        .transpose(input: input, output: output, permutation: permutation), step, &emitter, microOpRegion)
    case .concatenate(let inputs, let output, let axis):
      try addHostStep(
        .concatenate(inputs: inputs, output: output, axis: axis), step, &emitter, microOpRegion)
    }
  }

  private mutating func addDeviceLayer(_ step: QuantizedStep, _ instructions: Range<Int>, _ note: LayerNote) {
    notes.append(note)
    layers.append(
      Layer(
        name: step.name, op: step.op, place: .accelerator, why: step.why, program: programs.count,
        instructions: instructions))
  }

  /// Names tensors by their places in the module.
  mutating func renumber(_ places: [Int: Int]) {
    for index in notes.indices { notes[index].output = notes[index].output.flatMap { places[$0] } }
    for index in steps.indices {
      switch steps[index] {
      case .quantize(let input, let output):
        steps[index] = .quantize(input: input, output: places[output] ?? output)
      case .dequantize(let input, let output, let shape):
        steps[index] = .dequantize(input: places[input] ?? input, output: output, shape: shape)
      case .program, .softmax, .reshape, .activate, .transpose, .concatenate: break
      }
    }
  }

  /// A layer without instructions of its own, in the program that there is.
  private mutating func addJoined(_ step: QuantizedStep, _ output: Int, _ count: Int) {
    notes.append(LayerNote(output: output))
    layers.append(
      Layer(
        name: step.name, op: step.op, place: .accelerator, why: step.why,
        program: count > 0 ? programs.count : programs.count - 1, instructions: count..<count))
  }

  private mutating func addHostStep(
    _ hostStep: Step, _ step: QuantizedStep, _ emitter: inout LayerEmitter, _ microOpRegion: Int
  ) throws(CodegenError) {
    try endProgram(&emitter, microOpRegion: microOpRegion)
    steps.append(hostStep)
    notes.append(LayerNote())
    layers.append(
      Layer(
        name: step.name, op: step.op, place: .host, why: step.why, program: nil, instructions: 0..<0))
  }

  /// Closes the program under construction, if it has any instruction.
  mutating func endProgram(
    _ emitter: inout LayerEmitter, microOpRegion: Int
  ) throws(CodegenError) {
    guard emitter.builder.count > 0 else { return }
    let result = emitter.builder.finish()
    // What ends the program belongs to its last layer.
    if let last = layers.lastIndex(where: { $0.program == programs.count }) {
      layers[last].instructions = layers[last].instructions.lowerBound..<result.instructions.count
    }
    let microOpOffset = UInt64(microOps.count * Limits.microOpBytes)
    var bytes: [UInt8] = []
    let set = try instructionSet()
    for instruction in result.instructions {
      do { try set.encode(instruction).append(to: &bytes) } catch { throw .coding(error) }
    }
    let relocations = result.relocations.map { relocation in
      // The micro-ops of all programs share a region.
      let isMicroOp = relocation.location.region == microOpRegion
      return Relocation(
        instruction: relocation.instruction, region: relocation.location.region,
        byteOffset: relocation.location.byteOffset + (isMicroOp ? microOpOffset : 0))
    }
    programs.append(DeviceProgram(instructions: bytes, relocations: relocations))
    steps.append(.program(programs.count - 1))
    microOps += result.microOps
    emitter.startProgram(microOpRegion: microOpRegion)
  }

  func encodedMicroOps() throws(CodegenError) -> [UInt8] {
    let set = try instructionSet()
    var bytes: [UInt8] = []
    for microOp in microOps {
      do {
        let bits = try set.encode(microOp)
        withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
      } catch { throw .coding(error) }
    }
    return bytes
  }

  private func instructionSet() throws(CodegenError) -> InstructionSet {
    do {
      return try InstructionSet(
        configuration: target.configuration, revision: target.profile.revision)
    } catch { throw .configuration(error) }
  }
}
