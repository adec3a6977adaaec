internal import VTA

/// Regions of device memory and what they hold.
extension Assembler {
  private enum Role: String, CaseIterable {
    case constant
    case microOps = "micro-ops"
    case workspace
    /// A workspace with a tensor of the model's interface in it.
    case input
    case output
  }

  mutating func takeRegion(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    let target = try knownTarget(arguments)
    let token = try arguments.next("the region's name")
    guard let name = token.name, regionIndices.updateValue(regions.count, forKey: name) == nil else {
      throw arguments.line.error(
        token, "\(token.text) is no name, or another region has it; choose a new name")
    }
    note("region", regions.count, at: arguments.line)
    let role = try arguments.choice("role", Role.allCases.map { ($0.rawValue, $0) })
    switch role {
    case .constant, .microOps:
      let size = arguments.isEmpty ? nil : try byteCount(&arguments)
      let isConstant = role == .constant
      // The size is that of the contents, which follow; 0 until then if the line names none.
      regions.append(
        Region(name: name, role: isConstant ? .constant([]) : .microOps([]), byteCount: size ?? 0))
      section = .contents(region: regions.count - 1)
    case .workspace:
      regions.append(Region(name: name, role: .workspace, byteCount: try byteCount(&arguments)))
    case .input, .output:
      try takeInterfaceRegion(token, isInput: role == .input, target.configuration, &arguments)
    }
  }

  private func byteCount(_ arguments: inout DirectiveArguments) throws(AssemblyError) -> UInt64 {
    UInt64(try arguments.integer("the size in bytes", in: 1...Int64(ModuleLimits.memoryBytesMax)))
  }

  /// `.region x input 16x8x8 scale=0.5`: memory, the tensor that fills it, the model's input, and a step between them.
  private mutating func takeInterfaceRegion(
    _ token: AssemblyToken, isInput: Bool, _ configuration: HardwareConfiguration,
    _ arguments: inout DirectiveArguments
  ) throws(AssemblyError) {
    let name = token.name ?? ""
    let extents = try arguments.imageExtents("the tensor", configuration)
    let tensor = DeviceTensor(
      name: name, region: regions.count, byteOffset: 0, channels: extents.channels, height: extents.height,
      width: extents.width, scale: try arguments.scale())
    regions.append(Region(name: name, role: .workspace, byteCount: tensor.byteCount(configuration)))
    try add(tensor, arguments.line, token)
    let shape = [1, tensor.channels, tensor.height, tensor.width]
    let interface = ModelTensor(name: name, dataType: .fp32, shape: shape)
    if isInput {
      note("input", inputs.count, at: arguments.line)
      inputs.append(interface)
      impliedSteps.quantize.append(.quantize(input: name, output: tensors.count - 1))
    } else {
      note("output", outputs.count, at: arguments.line)
      outputs.append(interface)
      impliedSteps.dequantize.append(.dequantize(input: tensors.count - 1, output: name, shape: shape))
    }
  }

  /// Ends the contents of the region before `line`.
  mutating func closeRegion(_ line: AssemblyLine) throws(AssemblyError) {
    guard case .contents(let index) = section else { return }
    section = .none
    let declared = regions[index].byteCount
    guard !contents.isEmpty, declared == 0 || declared == UInt64(contents.count) else {
      throw line.error(
        line.tokens.first,
        "the region \(regions[index].name) before this line has \(contents.count) bytes of contents, "
          + "\(declared == 0 ? "but needs at least one" : "but declares \(declared)"); correct one of them")
    }
    regions[index].byteCount = UInt64(contents.count)
    switch regions[index].role {
    case .constant: regions[index].role = .constant(contents)
    case .microOps: regions[index].role = .microOps(contents)
    case .workspace: break
    }
    contents = []
  }

  // MARK: Contents

  /// - Returns: the region that is being filled.
  private func openRegion(_ arguments: DirectiveArguments) throws(AssemblyError) -> Int {
    guard case .contents(let region) = section else {
      throw arguments.line.error(
        arguments.directive,
        "\(arguments.directive.text) must follow a constant or micro-ops .region; move it")
    }
    return region
  }

  /// Bytes count against the limit before they are made.
  private mutating func reserve(
    _ count: Int, _ line: AssemblyLine, _ token: AssemblyToken?
  ) throws(AssemblyError) {
    guard count <= contentBytesLeft else {
      throw line.error(token, "all contents together take too many bytes for one text; make them smaller")
    }
    contentBytesLeft -= count
  }

  mutating func takeMicroOp(_ line: AssemblyLine, _ region: Int) throws(AssemblyError) {
    guard case .microOps = regions[region].role, let instructions else {
      throw line.error(
        line.tokens.first, "constants come behind .hex, .int8, .int32, .zeros, .affine or .random; add one")
    }
    let bits = try instructions.microOp(line)
    try reserve(Limits.microOpBytes, line, line.tokens.first)
    contents.append(littleEndian: bits)
  }

  mutating func takeKernel(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    let region = try openRegion(arguments)
    let token = try arguments.next("the kernel's name")
    guard case .microOps = regions[region].role, contents.count % Limits.microOpBytes == 0 else {
      throw arguments.line.error(
        token, "a micro-kernel must start at a whole micro-op of a micro-ops region; move it")
    }
    let index = contents.count / Limits.microOpBytes
    guard let name = token.name, kernels[region, default: [:]].updateValue(index, forKey: name) == nil else {
      throw arguments.line.error(
        token, "\(token.text) is no name, or another kernel of this region has it; choose a new name")
    }
  }

  mutating func takeHex(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    _ = try openRegion(arguments)
    for token in arguments.remaining() {
      try reserve(token.bytes.count / 2, arguments.line, token)
      var high: UInt8?
      for byte in token.bytes {
        guard let digit = Self.hexDigit(byte) else {
          throw arguments.line.error(
            token, "\(token.text) is no hexadecimal number; write two digits per byte")
        }
        if let first = high { contents.append(first << 4 | digit) }
        high = high == nil ? digit : nil
      }
      guard high == nil else {
        throw arguments.line.error(token, "\(token.text) ends inside a byte; write two digits per byte")
      }
    }
  }

  private static func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte - 0x30
    case 0x41...0x46: byte - 0x41 + 10
    case 0x61...0x66: byte - 0x61 + 10
    default: nil
    }
  }

  mutating func takeNumbers<Element: FixedWidthInteger & SignedInteger>(
    _ type: Element.Type, _ arguments: inout DirectiveArguments
  ) throws(AssemblyError) {
    _ = try openRegion(arguments)
    let range = Int64(Element.min)...Int64(Element.max)
    for token in arguments.remaining() {
      try reserve(Element.bitWidth / 8, arguments.line, token)
      contents.append(
        littleEndian: Element(truncatingIfNeeded: try arguments.integer(token, "a value", in: range)))
    }
  }

  mutating func takeZeros(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    _ = try openRegion(arguments)
    let count = Int(try arguments.integer("the number of bytes", in: 1...Int64(UInt32.max)))
    try reserve(count, arguments.line, arguments.directive)
    contents += repeatElement(0, count: count)
  }

  mutating func takeAffine(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    let (bits, count) = try fill(&arguments)
    var value = try arguments.integer("the start", in: Int64(Int32.min)...Int64(Int32.max))
    let step = try arguments.integer("the step", in: Int64(Int32.min)...Int64(Int32.max))
    for _ in 0..<count {
      append(value, bits: bits)
      value &+= step
    }
  }

  /// SplitMix64, so that others can make the same numbers: `LOW + next modulo (HIGH - LOW + 1)`.
  mutating func takeRandom(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    let (bits, count) = try fill(&arguments)
    var state = UInt64(try arguments.integer("the seed", in: 0...Int64.max))
    let limit = Int64(1) << (bits - 1)
    let low = try arguments.integer("the smallest value", in: -limit...(limit - 1))
    let high = try arguments.integer("the largest value", in: low...(limit - 1))
    for _ in 0..<count {
      state &+= 0x9e37_79b9_7f4a_7c15
      var mixed = state
      mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
      mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
      mixed ^= mixed >> 31
      append(low + Int64(mixed % UInt64(high - low + 1)), bits: bits)
    }
  }

  /// `int8|int32 COUNT`
  private mutating func fill(
    _ arguments: inout DirectiveArguments
  ) throws(AssemblyError) -> (bits: Int64, count: Int) {
    _ = try openRegion(arguments)
    let bits: Int64 = try arguments.choice("type", [("int8", 8), ("int32", 32)])
    let count = Int(try arguments.integer("the number of values", in: 1...Int64(UInt32.max)))
    try reserve(count * Int(bits) / 8, arguments.line, arguments.directive)
    return (bits, count)
  }

  private mutating func append(_ value: Int64, bits: Int64) {
    if bits == 8 {
      contents.append(UInt8(truncatingIfNeeded: value))
    } else {
      contents.append(littleEndian: Int32(truncatingIfNeeded: value))
    }
  }

  mutating func takeOmitted(_ arguments: inout DirectiveArguments) throws(AssemblyError) {
    let region = regions[try openRegion(arguments)]
    guard let bytes = omitted(region.name, region.byteCount), UInt64(bytes.count) == region.byteCount else {
      throw arguments.line.error(
        arguments.directive,
        "the contents of \(region.name), \(region.byteCount) bytes, are not here; name a module that has them with --constants-from"
      )
    }
    try reserve(bytes.count, arguments.line, arguments.directive)
    contents += bytes
  }
}
