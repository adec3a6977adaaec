internal import VTA
internal import VTAModule

/// Where the time of a run went, step by step, all its samples together.
package struct RunProfile: Hashable, Sendable {
  package struct Step: Hashable, Sendable {
    /// `quantize image`, `program 0`
    package let name: String
    /// Else the host takes it.
    package let isOnDevice: Bool
    /// How often: once for each group of BATCH samples.
    package fileprivate(set) var count: Int
    package fileprivate(set) var duration: Duration
    /// What a program is made of; empty for a step of the host.
    package fileprivate(set) var layers: [Layer]

    package init(
      name: String, isOnDevice: Bool, count: Int = 0, duration: Duration = .zero, layers: [Layer]
    ) {
      self.name = name
      self.isOnDevice = isOnDevice
      self.count = count
      self.duration = duration
      self.layers = layers
    }
  }

  package struct Layer: Hashable, Sendable {
    package let name: String
    /// ONNX operators that it stands for.
    package let op: String
    package let instructions: Int
    package let gemmSteps: Int
    package let aluSteps: Int
    /// Bytes that cross the memory port.
    package let dramBytes: Int
    /// Of one pass; `nil` where a program can't be cut, in hardware.
    package fileprivate(set) var duration: Duration?

    package init(
      name: String, op: String, instructions: Int, gemmSteps: Int, aluSteps: Int, dramBytes: Int,
      duration: Duration? = nil
    ) {
      self.name = name
      self.op = op
      self.instructions = instructions
      self.gemmSteps = gemmSteps
      self.aluSteps = aluSteps
      self.dramBytes = dramBytes
      self.duration = duration
    }
  }

  package private(set) var steps: [Step]

  init(of module: Module) {
    steps = module.steps.map { step in
      guard case .program(let index) = step else {
        return Step(name: step.title(in: module), isOnDevice: false, layers: [])
      }
      return Step(
        name: step.title(in: module), isOnDevice: true, layers: Self.layers(ofProgram: index, in: module))
    }
  }

  mutating func add(_ duration: Duration, toStep index: Int, count: Int) {
    steps[index].count += count
    steps[index].duration += duration
  }

  /// - Parameter durations: `nil`: unknown.
  mutating func set(layers durations: [Duration?], ofStep index: Int) {
    for (layer, duration) in zip(steps[index].layers.indices, durations) {
      steps[index].layers[layer].duration = duration
    }
  }

  private static func layers(ofProgram index: Int, in module: Module) -> [Layer] {
    let target = module.target
    let program = module.programs[index]
    guard
      let set = try? InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    else { return [] }
    let instructions = program.instructions.withUnsafeBytes { InstructionWords.stream($0) }
    return module.layers(ofProgram: index).map { layer in
      let own = instructions[layer.instructions].compactMap { try? set.decode($0) }
      let statistics = ProgramStatistics(own, target.configuration)
      return Layer(
        name: layer.name, op: layer.op, instructions: statistics.instructions,
        gemmSteps: statistics.gemmSteps,
        aluSteps: statistics.aluSteps, dramBytes: statistics.dramBytes.values.reduce(0, &+))
    }
  }
}

extension Module {
  /// In the order of their instructions.
  func layers(ofProgram index: Int) -> [VTAModule.Layer] {
    layers.filter { $0.program == index }.sorted { $0.instructions.lowerBound < $1.instructions.lowerBound }
  }
}

extension Step {
  /// For reports.
  fileprivate func title(in module: Module) -> String {
    switch self {
    case .quantize(let input, _): "quantize \(input)"
    case .program(let index): "program \(index)"
    case .dequantize(let input, _, _): "dequantize \(module.deviceTensors[input].name)"
    case .softmax(let input, _, _): "softmax \(input)"
    case .activate(let input, _, _): "activate \(input)"
    case .transpose(let input, _, _): "transpose \(input)"
    case .concatenate(let inputs, _, _): "concatenate \(inputs.joined(separator: ", "))"
    case .reshape(let input, _, _): "reshape \(input)"
    }
  }
}

/// How long each layer of a program takes on the simulator: the program is run up to the end of each, and what a longer
/// beginning takes more belongs to its last layer. In hardware a cut program would leave tokens behind.
struct LayerTiming {
  /// Of which the shortest time counts.
  private static let runs = 3

  let backend: any DeviceBackend
  let deadline: ContinuousClock.Instant?

  /// - Returns: One for each of ``VTAModule/Module/layers(ofProgram:)``; `nil` if the program can't be cut behind it.
  func durations(ofProgram index: Int, in model: ResidentModel) throws -> [Duration?] {
    let target = model.module.target
    let set = try InstructionSet(configuration: target.configuration, revision: target.profile.revision)
    var finish: [UInt8] = []
    try set.encode(Instruction(.finish)).append(to: &finish)
    let program = model.programs[index]
    let bytes = try backend.copyOut(
      from: program.address, byteCount: Int(program.count) * Limits.instructionBytes)
    var before = Duration.zero
    return try model.module.layers(ofProgram: index).map { layer in
      let beginning = bytes.prefix(layer.instructions.upperBound * Limits.instructionBytes)
      // The whole program has an end of its own.
      let isWhole = beginning.count == bytes.count
      guard let whole = try time(isWhole ? beginning : beginning + finish) else { return nil }
      defer { before = max(before, whole) }
      return max(.zero, whole - before)
    }
  }

  /// `nil` if it never ends: an instruction waits for one behind the cut.
  private func time(_ program: ArraySlice<UInt8>) throws(DeviceError) -> Duration? {
    let arena = try backend.allocate([UInt64(program.count)])
    defer { backend.free(arena) }
    try backend.copyIn(Array(program), to: arena[0])
    backend.seal(arena[0])
    backend.adopt(program: arena[0], program.withUnsafeBytes { InstructionWords.stream($0) })
    let count = UInt32(program.count / Limits.instructionBytes)
    var shortest: Duration?
    for _ in 0..<Self.runs {
      let start = ContinuousClock.now
      do throws(DeviceError) {
        try backend.run(instructions: arena[0], count: count, deadline: deadline)
      } catch .runFailed {
        return nil
      }
      let took = ContinuousClock.now - start
      shortest = shortest.map { min($0, took) } ?? took
    }
    return shortest
  }
}
