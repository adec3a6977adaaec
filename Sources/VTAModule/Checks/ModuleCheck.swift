private import VTA

/// Whether a module makes sense as a whole, wherever it comes from. The reader and the writer ask it, and the runtime
/// before it loads. What programs may do is checked later, on the patched copy.
package enum ModuleCheck {
  /// - Throws: ``ModuleError`` for the first thing that is wrong.
  package static func check(_ module: Module) throws(ModuleError) {
    try checkTexts(module)
    for (index, tensor) in module.inputs.enumerated() { try checkInterface(tensor, "input \(index)") }
    for (index, tensor) in module.outputs.enumerated() { try checkInterface(tensor, "output \(index)") }
    try checkUnique(module.inputs.map(\.name), "inputs")
    try checkUnique(module.outputs.map(\.name), "outputs")
    try checkUnique(module.deviceTensors.map(\.name), "device tensors")
    guard !module.inputs.isEmpty, !module.outputs.isEmpty else {
      throw ModuleError("module", "it has no inputs or no outputs")
    }
    try MemoryCheck(module).check()
    try StepCheck.check(module)
    try checkLayers(module)
    try checkPreprocessing(module)
    try checkLabels(module)
  }

  /// Regions and what programs get of them alone.
  package static func checkMemory(_ module: Module) throws(ModuleError) {
    for (index, region) in module.regions.enumerated() { try checkText(region.name, "region \(index)") }
    try MemoryCheck(module).check()
  }

  private static func checkTexts(_ module: Module) throws(ModuleError) {
    try checkName(module.name, "name")
    try checkText(module.producer, "producer")
    try checkName(module.target.name, "target")
    for (index, region) in module.regions.enumerated() { try checkText(region.name, "region \(index)") }
    for (index, tensor) in module.deviceTensors.enumerated() {
      try checkName(tensor.name, "device tensor \(index)")
    }
    for (index, layer) in module.layers.enumerated() {
      for text in [layer.name, layer.op, layer.why] { try checkText(text, "layer \(index)") }
    }
    for (index, label) in module.labels.enumerated() { try checkText(label, "label \(index)") }
  }

  private static func checkName(_ name: String, _ place: String) throws(ModuleError) {
    guard !name.isEmpty else { throw ModuleError(place, "its name is empty") }
    try checkText(name, place)
  }

  /// Texts reach terminals, logs and file names.
  private static func checkText(_ text: String, _ place: String) throws(ModuleError) {
    guard text.utf8.count <= ModuleLimits.textBytesMax else {
      throw ModuleError(place, "a text of it has more than \(ModuleLimits.textBytesMax) bytes")
    }
    guard !text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) else {
      throw ModuleError(place, "a text of it holds control characters")
    }
  }

  private static func checkUnique(_ names: [String], _ place: String) throws(ModuleError) {
    var seen: Set<String> = []
    for name in names where !seen.insert(name).inserted {
      throw ModuleError(place, "two of them have the name \(name)")
    }
  }

  private static func checkInterface(_ tensor: ModelTensor, _ place: String) throws(ModuleError) {
    try checkName(tensor.name, place)
    try checkShape(tensor.shape, place)
    guard tensor.dataType == .fp32 else {
      throw ModuleError(place, "its data type is \(tensor.dataType.rawValue), but only FP32 is supported")
    }
  }

  /// - Returns: the number of elements.
  @discardableResult
  static func checkShape(_ shape: [Int], _ place: String) throws(ModuleError) -> Int {
    guard shape.first == 1, shape.count <= ModuleLimits.rankMax else {
      throw ModuleError(
        place,
        "its shape \(shape) does not start with the batch extent 1 or has more than \(ModuleLimits.rankMax) axes"
      )
    }
    return try product(shape, maximum: ModuleLimits.elementsMax, place)
  }

  static func product(_ extents: [Int], maximum: Int, _ place: String) throws(ModuleError) -> Int {
    var count = 1
    for extent in extents {
      guard extent >= 1, extent <= maximum / count else {
        throw ModuleError(
          place, "its shape \(extents) has an extent below 1 or more than \(maximum) elements")
      }
      count *= extent
    }
    return count
  }

  private static func checkLayers(_ module: Module) throws(ModuleError) {
    for (index, layer) in module.layers.enumerated() {
      let place = "layer \(index)"
      guard let program = layer.program else {
        guard layer.place == .host else {
          throw ModuleError(place, "it runs on the accelerator, but has no instructions")
        }
        continue
      }
      guard layer.place == .accelerator, module.programs.indices.contains(program),
        layer.instructions.lowerBound >= 0,
        layer.instructions.upperBound <= module.programs[program].instructionCount
      else { throw ModuleError(place, "its instructions are none of program \(program)") }
    }
  }

  private static func checkPreprocessing(_ module: Module) throws(ModuleError) {
    guard let preprocessing = module.preprocessing else { return }
    let count = preprocessing.channels.count
    let numbers = preprocessing.mean + preprocessing.deviation + [preprocessing.range]
    guard preprocessing.mean.count == count, preprocessing.deviation.count == count,
      numbers.allSatisfy(\.isFinite), !preprocessing.deviation.contains(0)
    else {
      throw ModuleError(
        "preprocessing", "mean and deviation are not \(count) finite numbers, deviation not 0")
    }
    guard module.inputs.count == 1, preprocessing.imageSize(in: module.inputs[0].shape) != nil else {
      throw ModuleError("preprocessing", "the model's input is no image of \(count) channels")
    }
  }

  private static func checkLabels(_ module: Module) throws(ModuleError) {
    guard !module.labels.isEmpty else { return }
    guard module.outputs.count == 1, module.outputs[0].shape.last == module.labels.count else {
      throw ModuleError(
        "labels", "there are \(module.labels.count), but no single output with as many values at the end")
    }
  }
}

/// Bounds of everything in a module that a small file could make large.
package enum ModuleLimits {
  /// Bytes of one name, label or sentence.
  package static let textBytesMax = 4096
  package static let rankMax = 8
  /// Elements of one tensor, per sample.
  package static let elementsMax = 1 << 26
  /// Positions in an element of an unfolded tensor, its steps and its padding, each along one axis.
  package static let unfoldingMax = 1024
  /// All regions together. Programs reach no more: hardware takes 32 bits of the byte address.
  package static let memoryBytesMax: UInt64 = 1 << 32
}

extension Preprocessing.Channels {
  package var count: Int {
    switch self {
    case .gray: 1
    case .rgb, .bgr: 3
    }
  }
}

extension Preprocessing {
  /// - Parameter shape: of the model's input, with the batch axis first.
  /// - Returns: `nil` if it is no image with these channels in this layout.
  package func imageSize(in shape: [Int]) -> (height: Int, width: Int)? {
    guard shape.count == 4 else { return nil }
    let image = Array(shape.dropFirst())
    return switch layout {
    case .nchw: image[0] == channels.count ? (image[1], image[2]) : nil
    case .nhwc: image[2] == channels.count ? (image[0], image[1]) : nil
    }
  }
}
