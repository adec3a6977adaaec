package import VTA

/// A module as assembly text that ``Assembler`` takes back to the same module (Documentation/Assembly.md).
///
/// Regions without a name of their own get one; everything else is kept.
package struct AssemblyWriter {
  private let module: Module
  private let set: InstructionSet
  private let omitsConstants: Bool
  /// By index, unique.
  private let regionNames: [String]
  private let write: (String) -> Void

  /// - Parameters:
  ///   - module: one that ``ModuleCheck`` accepts.
  ///   - omitsConstants: leave out what constant regions hold; ``Assembler`` then needs it from elsewhere.
  ///   - write: takes one line.
  package static func write(
    _ module: Module, omitsConstants: Bool = false, to write: (String) -> Void
  ) throws(ConfigurationError) {
    let set = try InstructionSet(
      configuration: module.target.configuration, revision: module.target.profile.revision)
    withoutActuallyEscaping(write) { write in
      AssemblyWriter(module, set, omitsConstants, write).writeAll()
    }
  }

  package static func text(_ module: Module, omitsConstants: Bool = false) throws(ConfigurationError)
    -> String
  {
    var text = ""
    try write(module, omitsConstants: omitsConstants) { text += $0 + "\n" }
    return text
  }

  private init(
    _ module: Module, _ set: InstructionSet, _ omitsConstants: Bool, _ write: @escaping (String) -> Void
  ) {
    self.module = module
    self.set = set
    self.omitsConstants = omitsConstants
    self.write = write
    var names: [String] = []
    var seen: Set<String> = []
    for (index, region) in module.regions.enumerated() {
      var name = region.name
      while name.isEmpty || seen.contains(name) { name += "#\(index)" }
      seen.insert(name)
      names.append(name)
    }
    regionNames = names
  }

  private func writeAll() {
    line(".module", name(module.name))
    line(".producer", name(module.producer))
    line(".target", targetText)
    for input in module.inputs { line(".input", name(input.name), extents(input.shape)) }
    for output in module.outputs { line(".output", name(output.name), extents(output.shape)) }
    for index in module.regions.indices { writeRegion(index) }
    write("")
    for tensor in module.deviceTensors { writeTensor(tensor) }
    for index in module.programs.indices { writeProgram(index) }
    write("")
    for step in module.steps { line(".step", text(step)) }
    for layer in module.layers { writeLayer(layer) }
    if let p = module.preprocessing {
      line(
        ".preprocess", p.channels.rawValue, p.layout.rawValue, "range=\(p.range)", "mean=\(numbers(p.mean))",
        "deviation=\(numbers(p.deviation))")
    }
    for label in module.labels { line(".label", name(label)) }
  }

  private var targetText: String {
    let target = module.target
    if Target.named(target.name) == target { return target.name }
    return "\(name(target.name)) \(target.configuration.name) \(target.profile.name)"
  }

  // MARK: Regions

  private func writeRegion(_ index: Int) {
    let region = module.regions[index]
    func head(_ role: String) {
      write("")
      line(".region", name(regionNames[index]), role, "\(region.byteCount)")
    }
    switch region.role {
    case .workspace: head("workspace")
    case .constant(let bytes):
      head("constant")
      if omitsConstants { line("  .omitted") } else { writeBytes(bytes[...]) }
    case .microOps(let bytes):
      head("micro-ops")
      writeMicroOps(bytes, kernelStarts(index))
    }
  }

  private static let bytesPerLine = 32

  private func writeBytes(_ bytes: ArraySlice<UInt8>) {
    var start = bytes.startIndex
    while start < bytes.endIndex {
      let nonZero = bytes[start...].firstIndex { $0 != 0 } ?? bytes.endIndex
      if nonZero - start >= Self.bytesPerLine {
        line("  .zeros", "\(nonZero - start)")
        start = nonZero
        continue
      }
      let end = min(start + Self.bytesPerLine, bytes.endIndex)
      line("  .hex", Self.hex(bytes[start..<end]))
      start = end
    }
  }

  private static func hex(_ bytes: ArraySlice<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private func writeMicroOps(_ bytes: [UInt8], _ starts: Set<Int>) {
    let disassembler = Disassembler(set)
    let count = bytes.count / Limits.microOpBytes
    for index in 0..<count {
      if starts.contains(index) { line("  .kernel", kernelName(index)) }
      let bits = bytes.littleEndian(at: index * Limits.microOpBytes, as: UInt32.self)
      line("   ", disassembler.text(microOp: bits))
    }
    writeBytes(bytes[(count * Limits.microOpBytes)...])
  }

  /// Micro-ops of a region that a LOAD UOP begins with.
  private func kernelStarts(_ region: Int) -> Set<Int> {
    var starts: Set<Int> = []
    for program in module.programs {
      for relocation in program.relocations where relocation.region == region {
        guard memory(of: program, relocation.instruction) == .uop else { continue }
        starts.insert(Int(relocation.byteOffset) / Limits.microOpBytes)
      }
    }
    return starts
  }

  private func kernelName(_ index: Int) -> String { "k\(index)" }

  private func writeTensor(_ tensor: DeviceTensor) {
    let element = tensor.byteOffset / UInt64(module.target.configuration.elementBytes(.inp))
    var parts = [
      ".tensor", name(tensor.name), place(tensor.region, element),
      extents([tensor.channels, tensor.height, tensor.width]), "scale=\(tensor.scale)",
    ]
    if tensor.zeroPoint != 0 { parts.append("zero=\(tensor.zeroPoint)") }
    if let u = tensor.unfolding {
      let pairs = [[u.rows, u.columns], [u.rowStep, u.columnStep], [u.height, u.width], [u.top, u.left]]
      parts.append("unfold=" + pairs.map(extents).joined(separator: "/"))
    }
    write(parts.joined(separator: " "))
  }

  // MARK: Programs

  private static let mnemonicWidth = 10

  private func writeProgram(_ index: Int) {
    write("")
    line(".program")
    let program = module.programs[index]
    let disassembler = Disassembler(set)
    let layers = module.layers.filter { $0.program == index }
    let starts = Dictionary(grouping: layers) { $0.instructions.lowerBound }
    var relocations = program.relocations[...]
    for position in 0..<program.instructionCount {
      for layer in starts[position] ?? [] { line("  ;", name(layer.name), name(layer.op)) }
      let relocation = relocations.first?.instruction == position ? relocations.popFirst() : nil
      let text = disassembler.text(
        program.words(position), address: relocation.flatMap { address($0, program) },
        mnemonicWidth: Self.mnemonicWidth)
      let layer = layers.last { $0.instructions.contains(position) }
      line(" ", text + (layer.map { "  ; \(name($0.name))" } ?? ""))
    }
  }

  /// `REGION+ELEMENTS`, or `REGION:KERNEL` of a LOAD UOP.
  private func address(_ relocation: Relocation, _ program: DeviceProgram) -> String? {
    guard let memory = memory(of: program, relocation.instruction) else { return nil }
    let element = relocation.byteOffset / UInt64(module.target.configuration.elementBytes(memory))
    if memory == .uop, case .microOps(let bytes) = module.regions[relocation.region].role,
      element < bytes.count / Limits.microOpBytes
    {
      return "\(name(regionNames[relocation.region])):\(kernelName(Int(element)))"
    }
    return place(relocation.region, element)
  }

  private func memory(of program: DeviceProgram, _ instruction: Int) -> MemoryType? {
    program.memory(of: instruction, set)
  }

  // MARK: The rest

  private func text(_ step: Step) -> String {
    func tensor(_ index: Int) -> String { name(module.deviceTensors[index].name) }
    return switch step {
    case .quantize(let input, let output): "quantize \(name(input)) \(tensor(output))"
    case .program(let index): "run \(index)"
    case .dequantize(let input, let output, let shape):
      "dequantize \(tensor(input)) \(name(output)) \(extents(shape))"
    case .softmax(let input, let output, let axis): "softmax \(name(input)) \(name(output)) axis=\(axis)"
    case .reshape(let input, let output, let shape):
      "reshape \(name(input)) \(name(output)) \(extents(shape))"
    case .activate(let input, let output, let function):
      "activate \(function.kind.rawValue) \(name(input)) \(name(output)) "
        + "alpha=\(function.alpha) beta=\(function.beta)"
    case .transpose(let input, let output, let permutation):
      "transpose \(name(input)) \(name(output)) axes=\(permutation.map(String.init).joined(separator: ","))"
    case .concatenate(let inputs, let output, let axis):
      "concatenate \(name(output)) \(inputs.map(name).joined(separator: " ")) axis=\(axis)"
    }
  }

  private func writeLayer(_ layer: Layer) {
    var parts = [".layer", name(layer.name), name(layer.op), layer.place.rawValue, name(layer.why)]
    if let program = layer.program { parts.append("program=\(program)") }
    if layer.instructions != 0..<0 {
      parts.append("instructions=\(layer.instructions.lowerBound)..<\(layer.instructions.upperBound)")
    }
    write(parts.joined(separator: " "))
  }

  private func line(_ parts: String...) { write(parts.joined(separator: " ")) }
  private func name(_ name: String) -> String { AssemblyName.text(name) }
  private func extents(_ extents: [Int]) -> String { extents.map(String.init).joined(separator: "x") }
  private func numbers(_ numbers: [Float]) -> String { numbers.map { "\($0)" }.joined(separator: ",") }

  private func place(_ region: Int, _ element: UInt64) -> String {
    name(regionNames[region]) + (element == 0 ? "" : "+\(element)")
  }
}
