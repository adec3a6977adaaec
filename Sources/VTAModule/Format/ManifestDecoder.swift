private import SwiftProtobuf
private import VTA

/// A manifest and the sections that it points into, as a module. Ranges and numbers are checked here as far as it takes
/// to build the values; ``ModuleCheck`` does the rest.
struct ManifestDecoder {
  private static let instructionBytes = UInt64(Limits.instructionBytes)

  private let sections: Sections

  init(_ sections: Sections) { self.sections = sections }

  func module() throws(ModuleError) -> Module {
    let stored = try manifest()
    try checkRanges(of: stored)
    return Module(
      name: stored.name, producer: stored.producer, target: try target(stored.target),
      inputs: try map(stored.inputs, "input", hostTensor),
      outputs: try map(stored.outputs, "output", hostTensor),
      regions: try map(stored.regions, "region", region),
      deviceTensors: try map(stored.deviceTensors, "device tensor", deviceTensor),
      programs: try map(stored.programs, "program", program),
      steps: try map(stored.steps, "step", step),
      layers: try map(stored.layers, "layer", layer),
      preprocessing: stored.hasPreprocessing ? try preprocessing(stored.preprocessing) : nil,
      labels: stored.labels)
  }

  private func manifest() throws(ModuleError) -> StoredManifest {
    let bytes = try sections.bytes(.manifest)
    try ManifestScan.check(bytes)
    var options = BinaryDecodingOptions()
    options.discardUnknownFields = true
    do {
      return try StoredManifest(serializedBytes: Array(bytes), options: options)
    } catch {
      throw ModuleError("manifest", "it can't be decoded: \(error)")
    }
  }

  /// Ranges of a section are in order and share nothing, so that all of them together are no larger than the file.
  private func checkRanges(of stored: StoredManifest) throws(ModuleError) {
    let lists: [(SectionKind, [(offset: UInt64, count: UInt64)])] = [
      (.constants, stored.regions.filter { $0.kind == .constant }.map { ($0.sectionOffset, $0.byteCount) }),
      (.microOps, stored.regions.filter { $0.kind == .microOps }.map { ($0.sectionOffset, $0.byteCount) }),
      (
        .instructions,
        stored.programs.map {
          (
            $0.sectionOffset,
            $0.instructionCount.multipliedReportingOverflow(by: Self.instructionBytes).partialValue
          )
        }
      ),
    ]
    for (kind, ranges) in lists {
      var end: UInt64 = 0
      for range in ranges {
        let (next, overflow) = range.offset.addingReportingOverflow(range.count)
        guard range.offset >= end, !overflow else {
          throw ModuleError(
            "manifest", "its ranges of the section \(kind.rawValue) overlap or are out of order")
        }
        end = next
      }
    }
  }

  private func map<Stored, Value>(
    _ stored: [Stored], _ what: String, _ decode: (Stored, String) throws(ModuleError) -> Value
  ) throws(ModuleError) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(stored.count)
    for (index, entry) in stored.enumerated() { values.append(try decode(entry, "\(what) \(index)")) }
    return values
  }

  private func target(_ stored: StoredTarget) throws(ModuleError) -> Target {
    guard let profile = HardwareProfile.named(stored.profile) else {
      throw ModuleError("target", "the profile \(stored.profile) is unknown; use a newer vtactl")
    }
    var values: [String: Int] = [:]
    for entry in stored.configuration {
      guard values.updateValue(Int(entry.value), forKey: entry.key) == nil else {
        throw ModuleError("target", "the key \(entry.key) is there twice")
      }
    }
    do {
      let configuration = try HardwareConfiguration(values: values)
      return try Target(name: stored.name, configuration: configuration, profile: profile)
    } catch {
      throw ModuleError("target", "\(error)")
    }
  }

  private func hostTensor(_ stored: StoredHostTensor, _ place: String) throws(ModuleError) -> ModelTensor {
    guard let dataType = DataType(stored.dataType) else {
      throw ModuleError(place, "its data type is unknown; use a newer vtactl")
    }
    return ModelTensor(name: stored.name, dataType: dataType, shape: try shape(stored.shape, place))
  }

  private func region(_ stored: StoredRegion, _ place: String) throws(ModuleError) -> Region {
    func bytes(_ kind: SectionKind) throws(ModuleError) -> [UInt8] {
      try sections.bytes(kind, offset: stored.sectionOffset, count: stored.byteCount, place: place)
    }
    let role: Region.Role
    switch stored.kind {
    case .constant: role = .constant(try bytes(.constants))
    case .microOps: role = .microOps(try bytes(.microOps))
    case .workspace: role = .workspace
    case .unspecified, .UNRECOGNIZED:
      throw ModuleError(place, "its kind is unknown; use a newer vtactl")
    }
    return Region(name: stored.name, role: role, byteCount: stored.byteCount)
  }

  private func deviceTensor(
    _ stored: StoredDeviceTensor, _ place: String
  ) throws(ModuleError) -> DeviceTensor {
    DeviceTensor(
      name: stored.name, region: try integer(stored.region, place), byteOffset: stored.byteOffset,
      channels: try integer(stored.channels, place), height: try integer(stored.height, place),
      width: try integer(stored.width, place), scale: stored.scale,
      zeroPoint: Int(stored.zeroPoint),
      unfolding: stored.hasUnfolding ? try unfolding(stored.unfolding, place) : nil)
  }

  private func unfolding(_ stored: StoredUnfolding, _ place: String) throws(ModuleError) -> Unfolding {
    Unfolding(
      rows: try integer(stored.rows, place), columns: try integer(stored.columns, place),
      rowStep: try integer(stored.rowStep, place), columnStep: try integer(stored.columnStep, place),
      height: try integer(stored.height, place), width: try integer(stored.width, place),
      top: Int(stored.top), left: Int(stored.left))
  }

  private func program(_ stored: StoredProgram, _ place: String) throws(ModuleError) -> DeviceProgram {
    guard stored.instructionCount <= UInt64(UInt32.max) else {
      throw ModuleError(place, "\(stored.instructionCount) instructions are more than a device can run")
    }
    let instructions = try sections.bytes(
      .instructions, offset: stored.sectionOffset, count: stored.instructionCount * Self.instructionBytes,
      place: place)
    let count = stored.relocationInstruction.count
    guard stored.relocationRegion.count == count, stored.relocationOffset.count == count else {
      throw ModuleError(place, "the lists of its relocations differ in length")
    }
    var relocations: [Relocation] = []
    relocations.reserveCapacity(count)
    for index in 0..<count {
      relocations.append(
        Relocation(
          instruction: try integer(stored.relocationInstruction[index], place),
          region: try integer(stored.relocationRegion[index], place),
          byteOffset: stored.relocationOffset[index]))
    }
    return DeviceProgram(instructions: instructions, relocations: relocations)
  }

  private func step(_ stored: StoredStep, _ place: String) throws(ModuleError) -> Step {
    switch stored.kind {
    case .quantize(let step):
      .quantize(input: step.input, output: try integer(step.output, place))
    case .run(let step): .program(try integer(step.program, place))
    case .dequantize(let step):
      .dequantize(
        input: try integer(step.input, place), output: step.output, shape: try shape(step.shape, place))
    case .softmax(let step):
      .softmax(input: step.input, output: step.output, axis: try integer(step.axis, place))
    case .reshape(let step):
      .reshape(input: step.input, output: step.output, shape: try shape(step.shape, place))
    case .activate(let step):
      .activate(input: step.input, output: step.output, function: try function(step, place))
    case .transpose(let step):
      .transpose(
        input: step.input, output: step.output, permutation: try shape(step.permutation, place))
    case .concatenate(let step):
      .concatenate(inputs: step.inputs, output: step.output, axis: try integer(step.axis, place))
    case nil: throw ModuleError(place, "its kind is unknown; use a newer vtactl")
    }
  }

  private func function(_ stored: StoredStep.Activate, _ place: String) throws(ModuleError) -> HostFunction {
    guard let kind = HostFunction.Kind(stored.function) else {
      throw ModuleError(place, "its function is unknown; use a newer vtactl")
    }
    return HostFunction(kind, alpha: stored.alpha, beta: stored.beta)
  }

  private func layer(_ stored: StoredLayer, _ place: String) throws(ModuleError) -> Layer {
    guard let site = Layer.Place(stored.place) else {
      throw ModuleError(place, "the place where it runs is unknown; use a newer vtactl")
    }
    let first = try integer(stored.instructions.first, place)
    let (end, overflow) = first.addingReportingOverflow(try integer(stored.instructions.count, place))
    guard !overflow else { throw ModuleError(place, "its instructions are too many") }
    return Layer(
      name: stored.name, op: stored.op, place: site, why: stored.why,
      program: stored.hasInstructions ? try integer(stored.instructions.program, place) : nil,
      instructions: first..<end)
  }

  private func preprocessing(_ stored: StoredPreprocessing) throws(ModuleError) -> Preprocessing {
    guard let channels = Preprocessing.Channels(stored.channels),
      let layout = Preprocessing.Layout(stored.layout)
    else { throw ModuleError("preprocessing", "its channels or its layout are unknown; use a newer vtactl") }
    return Preprocessing(
      channels: channels, layout: layout, range: stored.range, mean: stored.mean,
      deviation: stored.deviation)
  }

  private func shape(_ stored: [some UnsignedInteger], _ place: String) throws(ModuleError) -> [Int] {
    var shape: [Int] = []
    for extent in stored { shape.append(try integer(extent, place)) }
    return shape
  }

  private func integer(_ stored: some UnsignedInteger, _ place: String) throws(ModuleError) -> Int {
    guard let value = Int(exactly: stored) else {
      throw ModuleError(place, "\(stored) is larger than any number that it may hold")
    }
    return value
  }
}
