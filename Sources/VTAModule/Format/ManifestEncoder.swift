private import SwiftProtobuf
internal import VTA

/// Builds the manifest and, beside it, the sections that it points into.
struct ManifestEncoder {
  private(set) var constants: [UInt8] = []
  private(set) var microOps: [UInt8] = []
  private(set) var instructions: [UInt8] = []

  /// - Precondition: ``ModuleCheck`` passed, so no number is negative.
  mutating func manifest(of module: Module) throws(ModuleError) -> [UInt8] {
    var stored = StoredManifest()
    stored.name = module.name
    stored.producer = module.producer
    stored.target = Self.target(module.target)
    stored.inputs = module.inputs.map(Self.hostTensor)
    stored.outputs = module.outputs.map(Self.hostTensor)
    for region in module.regions { stored.regions.append(add(region)) }
    stored.deviceTensors = module.deviceTensors.map(Self.deviceTensor)
    for program in module.programs { stored.programs.append(add(program)) }
    stored.steps = module.steps.map(Self.step)
    stored.layers = module.layers.map(Self.layer)
    if let preprocessing = module.preprocessing { stored.preprocessing = Self.stored(preprocessing) }
    stored.labels = module.labels
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    do {
      return try stored.serializedBytes(options: options)
    } catch {
      throw ModuleError("manifest", "it can't be encoded: \(error)")
    }
  }

  private mutating func add(_ region: Region) -> StoredRegion {
    var stored = StoredRegion()
    stored.name = region.name
    stored.byteCount = region.byteCount
    switch region.role {
    case .constant(let bytes):
      stored.kind = .constant
      stored.sectionOffset = Self.append(bytes, to: &constants)
    case .microOps(let bytes):
      stored.kind = .microOps
      stored.sectionOffset = Self.append(bytes, to: &microOps)
    case .workspace: stored.kind = .workspace
    }
    return stored
  }

  /// Each region starts on a page of the section, so that it can be mapped by itself.
  private static func append(_ bytes: [UInt8], to section: inout [UInt8]) -> UInt64 {
    let offset = FileLayout.aligned(UInt64(section.count))
    section += [UInt8](repeating: 0, count: Int(offset) - section.count)
    section += bytes
    return offset
  }

  private mutating func add(_ program: DeviceProgram) -> StoredProgram {
    var stored = StoredProgram()
    stored.sectionOffset = UInt64(instructions.count)
    stored.instructionCount = UInt64(program.instructions.count / Limits.instructionBytes)
    stored.relocationInstruction = program.relocations.map { UInt64($0.instruction) }
    stored.relocationRegion = program.relocations.map { UInt32($0.region) }
    stored.relocationOffset = program.relocations.map(\.byteOffset)
    instructions += program.instructions
    return stored
  }

  private static func target(_ target: Target) -> StoredTarget {
    var stored = StoredTarget()
    stored.name = target.name
    stored.profile = target.profile.name
    stored.configuration = HardwareConfiguration.keys.map { key in
      var value = StoredConfigurationValue()
      value.key = key.name
      value.value = Int32(key.read(target.configuration))
      return value
    }
    return stored
  }

  private static func hostTensor(_ tensor: ModelTensor) -> StoredHostTensor {
    var stored = StoredHostTensor()
    stored.name = tensor.name
    stored.dataType = tensor.dataType.stored
    stored.shape = tensor.shape.map(UInt64.init)
    return stored
  }

  private static func deviceTensor(_ tensor: DeviceTensor) -> StoredDeviceTensor {
    var stored = StoredDeviceTensor()
    stored.name = tensor.name
    stored.region = UInt32(tensor.region)
    stored.byteOffset = tensor.byteOffset
    stored.channels = UInt64(tensor.channels)
    stored.height = UInt64(tensor.height)
    stored.width = UInt64(tensor.width)
    stored.scale = tensor.scale
    stored.zeroPoint = Int32(tensor.zeroPoint)
    if let unfolding = tensor.unfolding {
      stored.unfolding.rows = UInt32(unfolding.rows)
      stored.unfolding.columns = UInt32(unfolding.columns)
      stored.unfolding.rowStep = UInt32(unfolding.rowStep)
      stored.unfolding.columnStep = UInt32(unfolding.columnStep)
      stored.unfolding.height = UInt32(unfolding.height)
      stored.unfolding.width = UInt32(unfolding.width)
      stored.unfolding.top = Int32(unfolding.top)
      stored.unfolding.left = Int32(unfolding.left)
    }
    return stored
  }

  private static func step(_ step: Step) -> StoredStep {
    var stored = StoredStep()
    switch step {
    case .quantize(let input, let output):
      stored.quantize.input = input
      stored.quantize.output = UInt32(output)
    case .program(let index): stored.run.program = UInt32(index)
    case .dequantize(let input, let output, let shape):
      stored.dequantize.input = UInt32(input)
      stored.dequantize.output = output
      stored.dequantize.shape = shape.map(UInt64.init)
    case .softmax(let input, let output, let axis):
      stored.softmax.input = input
      stored.softmax.output = output
      stored.softmax.axis = UInt32(axis)
    case .reshape(let input, let output, let shape):
      stored.reshape.input = input
      stored.reshape.output = output
      stored.reshape.shape = shape.map(UInt64.init)
    case .activate(let input, let output, let function):
      stored.activate.input = input
      stored.activate.output = output
      stored.activate.function = function.kind.stored
      stored.activate.alpha = function.alpha
      stored.activate.beta = function.beta
    case .transpose(let input, let output, let permutation):
      stored.transpose.input = input
      stored.transpose.output = output
      stored.transpose.permutation = permutation.map(UInt32.init)
    case .concatenate(let inputs, let output, let axis):
      stored.concatenate.inputs = inputs
      stored.concatenate.output = output
      stored.concatenate.axis = UInt32(axis)
    }
    return stored
  }

  private static func layer(_ layer: Layer) -> StoredLayer {
    var stored = StoredLayer()
    stored.name = layer.name
    stored.op = layer.op
    stored.place = layer.place.stored
    stored.why = layer.why
    if let program = layer.program {
      stored.instructions.program = UInt32(program)
      stored.instructions.first = UInt64(layer.instructions.lowerBound)
      stored.instructions.count = UInt64(layer.instructions.count)
    }
    return stored
  }

  private static func stored(_ preprocessing: Preprocessing) -> StoredPreprocessing {
    var stored = StoredPreprocessing()
    stored.channels = preprocessing.channels.stored
    stored.layout = preprocessing.layout.stored
    stored.range = preprocessing.range
    stored.mean = preprocessing.mean
    stored.deviation = preprocessing.deviation
    return stored
  }
}
