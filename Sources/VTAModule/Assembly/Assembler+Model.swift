internal import VTA

/// Directives about the model as a whole: its interface, tensors, steps and layers.
extension Assembler {
  mutating func takeModule(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    try checkOnce(header.name == nil, arguments)
    header.name = try arguments.name("the module's name")
    note("name", at: arguments.line)
  }

  mutating func takeProducer(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    try checkOnce(header.producer == nil, arguments)
    header.producer = try arguments.name("the producer")
    note("producer", at: arguments.line)
  }

  mutating func takeTarget(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    try checkOnce(target == nil, arguments)
    let token = try arguments.next("the target's name")
    guard let name = token.name else {
      throw arguments.line.error(token, "\(token.text) is no name; put it in quotes")
    }
    let found = arguments.isEmpty ? Target.named(name) : try self.target(name, &arguments)
    guard let found else {
      let known = Target.named.map(\.name).joined(separator: ", ")
      throw arguments.line.error(
        token, "the target \(name) is unknown; known: \(known), or write \(Directive.target.usage)")
    }
    do throws(ConfigurationError) {
      instructions = InstructionAssembler(
        try InstructionSet(configuration: found.configuration, revision: found.profile.revision))
    } catch {
      throw arguments.line.error(token, "\(error)")
    }
    target = found
    note("target", at: arguments.line)
  }

  private func target(
    _ name: String, _ arguments: inout DirectiveArguments
  ) throws(AssemblyError) -> Target {
    let token = try arguments.next("the configuration")
    let profile = try arguments.choice("profile", HardwareProfile.all.map { ($0.name, $0) })
    do throws(ConfigurationError) {
      let configuration = try HardwareConfiguration(name: token.text)
      return try Target(name: name, configuration: configuration, profile: profile)
    } catch {
      throw arguments.line.error(token, "\(error)")
    }
  }

  mutating func takeInput(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    note("input", inputs.count, at: arguments.line)
    inputs.append(try interface(&arguments))
  }

  mutating func takeOutput(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    note("output", outputs.count, at: arguments.line)
    outputs.append(try interface(&arguments))
  }

  private func interface(_ arguments: inout DirectiveArguments) throws(AssemblyError) -> ModelTensor {
    let name = try arguments.name("the tensor's name")
    return ModelTensor(name: name, dataType: .fp32, shape: try arguments.extents("the shape"))
  }

  mutating func takeTensor(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    let configuration = try knownTarget(arguments).configuration
    let line = arguments.line
    let name = try arguments.next("the tensor's name")
    let place = try arguments.next("the tensor's region")
    guard let (region, rest) = place.leadingName else {
      throw line.error(place, "\(place.text) is no place; write REGION+ELEMENTS")
    }
    var elements: Int64 = 0
    if !rest.bytes.isEmpty {
      guard rest.bytes.first == UInt8(ascii: "+") else {
        throw line.error(rest, "\(rest.text) is no offset; write REGION+ELEMENTS")
      }
      elements = try arguments.integer(
        AssemblyToken(rest.bytes.dropFirst()), "the offset", in: 0...Int64(UInt32.max))
    }
    guard let index = regionIndices[region] else {
      throw unknown("region", region, regionIndices, line, place)
    }
    let extents = try arguments.imageExtents("the tensor", configuration)
    try add(
      DeviceTensor(
        name: name.name ?? "", region: index,
        byteOffset: UInt64(elements) * UInt64(configuration.elementBytes(.inp)), channels: extents.channels,
        height: extents.height, width: extents.width, scale: try arguments.scale(),
        zeroPoint: try zeroPoint(&arguments), unfolding: try unfolding(&arguments)), line, name)
  }

  private func zeroPoint(_ arguments: inout DirectiveArguments) throws(AssemblyError) -> Int {
    guard let token = arguments.optional("zero") else { return 0 }
    return Int(try arguments.integer(token, "the zero point", in: -128...127))
  }

  /// `unfold=ROWSxCOLUMNS/STEPxSTEP/HEIGHTxWIDTH/TOPxLEFT`
  private func unfolding(_ arguments: inout DirectiveArguments) throws(AssemblyError) -> Unfolding? {
    guard let token = arguments.optional("unfold") else { return nil }
    var numbers: [Int] = []
    for pair in token.split("/") {
      for part in pair.split("x") {
        numbers.append(
          Int(try arguments.integer(part, "a part of unfold", in: 0...Int64(ModuleLimits.elementsMax))))
      }
    }
    guard numbers.count == 8 else {
      throw arguments.line.error(
        token, "unfold must be eight numbers; write ROWSxCOLUMNS/STEPxSTEP/HEIGHTxWIDTH/TOPxLEFT")
    }
    return Unfolding(
      rows: numbers[0], columns: numbers[1], rowStep: numbers[2], columnStep: numbers[3], height: numbers[4],
      width: numbers[5], top: numbers[6], left: numbers[7])
  }

  mutating func add(
    _ tensor: DeviceTensor, _ line: AssemblyLine, _ token: AssemblyToken
  ) throws(AssemblyError) {
    guard token.name != nil, tensorIndices.updateValue(tensors.count, forKey: tensor.name) == nil else {
      throw line.error(token, "\(token.text) is no name, or another tensor has it; choose a new name")
    }
    note("device tensor", tensors.count, at: line)
    tensors.append(tensor)
  }

  private enum StepKind: String, CaseIterable {
    case quantize, run, dequantize, softmax, reshape, activate, transpose, concatenate
  }

  mutating func takeStep(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    note("step", steps.count, at: arguments.line)
    switch try arguments.choice("step", StepKind.allCases.map { ($0.rawValue, $0) }) {
    case .quantize:
      steps.append(.quantize(input: try arguments.name("the input"), output: try tensor(&arguments)))
    case .run:
      steps.append(.program(Int(try arguments.integer("the program", in: 0...Int64(UInt32.max)))))
    case .dequantize:
      let input = try tensor(&arguments)
      let output = try arguments.name("the output")
      steps.append(.dequantize(input: input, output: output, shape: try arguments.extents("the shape")))
    case .softmax:
      let axis = try arguments.integer(
        arguments.keyed("axis"), "the axis", in: 0...Int64(ModuleLimits.rankMax))
      let input = try arguments.name("the input")
      steps.append(.softmax(input: input, output: try arguments.name("the output"), axis: Int(axis)))
    case .reshape:
      let input = try arguments.name("the input")
      let output = try arguments.name("the output")
      steps.append(.reshape(input: input, output: output, shape: try arguments.extents("the shape")))
    case .activate:
      let (alpha, beta) = (try arguments.numbers("alpha"), try arguments.numbers("beta"))
      let kind = try arguments.choice("function", HostFunction.Kind.allCases.map { ($0.rawValue, $0) })
      let input = try arguments.name("the input")
      let function = HostFunction(kind, alpha: alpha[0], beta: beta[0])
      steps.append(.activate(input: input, output: try arguments.name("the output"), function: function))
    case .transpose:
      let axes = try arguments.axes("axes")
      let input = try arguments.name("the input")
      steps.append(
        .transpose(input: input, output: try arguments.name("the output"), permutation: axes))
    case .concatenate:
      let axis = Int(
        try arguments.integer(arguments.keyed("axis"), "the axis", in: 0...Int64(ModuleLimits.rankMax)))
      let output = try arguments.name("the output")
      var inputs = [try arguments.name("an input")]
      while !arguments.isEmpty { inputs.append(try arguments.name("an input")) }
      steps.append(.concatenate(inputs: inputs, output: output, axis: axis))
    }
  }

  private func tensor(_ arguments: inout DirectiveArguments) throws(AssemblyError) -> Int {
    let token = try arguments.next("the tensor")
    guard let index = token.name.flatMap({ tensorIndices[$0] }) else {
      throw unknown("tensor", token.text, tensorIndices, arguments.line, token)
    }
    return index
  }

  mutating func takeLayer(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    note("layer", layers.count, at: arguments.line)
    let program = arguments.optional("program")
    let range = arguments.optional("instructions")
    let name = try arguments.name("the layer's name")
    let op = try arguments.name("the layer's operators")
    let place = try arguments.choice("place", Layer.Place.allCases.map { ($0.rawValue, $0) })
    let why = try arguments.name("the reason")
    var bounds: [Int] = [0, 0]
    if let range {
      bounds = []
      for part in range.split("..<") {
        bounds.append(Int(try arguments.integer(part, "an instruction", in: 0...Int64(UInt32.max))))
      }
      guard bounds.count == 2, bounds[0] <= bounds[1] else {
        throw arguments.line.error(range, "\(range.text) is no range; write FIRST..<END")
      }
    }
    var programIndex: Int?
    if let program {
      programIndex = Int(try arguments.integer(program, "the program", in: 0...Int64(UInt32.max)))
    }
    layers.append(
      Layer(
        name: name, op: op, place: place, why: why, program: programIndex, instructions: bounds[0]..<bounds[1]
      ))
  }

  mutating func takePreprocessing(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    try checkOnce(header.preprocessing == nil, arguments)
    note("preprocessing", at: arguments.line)
    let channels = try arguments.choice(
      "order of channels", Preprocessing.Channels.allCases.map { ($0.rawValue, $0) })
    let layout = try arguments.choice("layout", Preprocessing.Layout.allCases.map { ($0.rawValue, $0) })
    let range = try arguments.numbers("range")
    header.preprocessing = Preprocessing(
      channels: channels, layout: layout, range: range[0], mean: try arguments.numbers("mean"),
      deviation: try arguments.numbers("deviation"))
    guard range.count == 1 else {
      throw arguments.line.error(arguments.directive, "range must be one number; correct it")
    }
  }

  mutating func takeLabel(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    note("labels", at: arguments.line)
    note("label", header.labels.count, at: arguments.line)
    header.labels.append(try arguments.name("the label"))
  }

  // MARK: Helpers

  func knownTarget(_ arguments: DirectiveArguments) throws(AssemblyError) -> Target {
    guard let target else {
      throw arguments.line.error(
        arguments.directive, "the target is not known yet; put .target before this line")
    }
    return target
  }

  func checkOnce(_ isFirst: Bool, _ arguments: DirectiveArguments) throws(AssemblyError) {
    guard isFirst else {
      throw arguments.line.error(arguments.directive, "\(arguments.directive.text) comes twice; remove one")
    }
  }

  func unknown(
    _ kind: String, _ name: String, _ known: [String: Int], _ line: AssemblyLine, _ token: AssemblyToken
  ) -> AssemblyError {
    let names = known.sorted { $0.value < $1.value }.prefix(10).map(\.key).joined(separator: ", ")
    return line.error(
      token, "no \(kind) before this line has the name \(name); known: \(names.isEmpty ? "none" : names)")
  }
}
