package import VTA

/// Assembly text as a module: regions with their contents, programs, and what a run does with them. The syntax is
/// described in Documentation/Assembly.md; ``AssemblyWriter`` is the inverse.
///
/// One pass, line by line: everything is declared before it is used. Memory is bounded by the text and by the contents
/// that it may ask for.
package struct Assembler {
  /// Contents of a region that the text leaves out, by name and size; `nil` if there are none.
  package typealias OmittedContents = (_ region: String, _ byteCount: UInt64) -> [UInt8]?

  /// Bytes of constants and micro-ops that a text may ask for, however short it is.
  package static let contentBytesMax = 256 << 20

  /// - Parameters:
  ///   - producer: for a text that does not name one.
  ///   - contentBytesMax: bytes of constants and micro-ops together.
  /// - Throws: ``AssemblyError`` for the first thing that is wrong.
  package static func module(
    from text: [UInt8], producer: String = "vtactl \(Version.text)",
    contentBytesMax: Int = contentBytesMax, omitted: OmittedContents = { _, _ in nil }
  ) throws(AssemblyError) -> Module {
    try withoutActuallyEscaping(omitted) { omitted throws(AssemblyError) in
      var assembler = Assembler(contentBytesMax: contentBytesMax, omitted: omitted)
      var number = 0
      var start = 0
      while start < text.count {
        number += 1
        let end = text[start...].firstIndex(of: UInt8(ascii: "\n")) ?? text.count
        try assembler.take(AssemblyLine(number: number, text[start..<end]))
        start = end + 1
      }
      return try assembler.finish(producer: producer, lastLine: number)
    }
  }

  /// For short texts.
  package static func module(from text: String) throws(AssemblyError) -> Module {
    try module(from: Array(text.utf8))
  }

  /// What lines without a directive belong to.
  enum Section {
    case none
    /// A region with contents: constants or micro-ops.
    case contents(region: Int)
    case program
  }

  var header = ModuleHeader()
  var target: Target?
  var instructions: InstructionAssembler?
  var inputs: [ModelTensor] = []
  var outputs: [ModelTensor] = []
  var regions: [Region] = []
  var regionIndices: [String: Int] = [:]
  /// Element index by the name of a micro-kernel, by region.
  var kernels: [Int: [String: Int]] = [:]
  var tensors: [DeviceTensor] = []
  var tensorIndices: [String: Int] = [:]
  var programs: [DeviceProgram] = []
  var steps: [Step] = []
  var layers: [Layer] = []
  /// What regions with a role of input or output mean, if the text has no steps of its own.
  var impliedSteps: (quantize: [Step], dequantize: [Step]) = ([], [])
  var section = Section.none
  /// The contents of the current region so far.
  var contents: [UInt8] = []
  /// What ``ModuleCheck`` may complain about, by the words it uses.
  var lines: [String: Int] = [:]
  var contentBytesLeft: Int
  let omitted: OmittedContents

  /// Things that a text says at most once.
  struct ModuleHeader {
    var name: String?
    var producer: String?
    var preprocessing: Preprocessing?
    var labels: [String] = []
  }

  private init(contentBytesMax: Int, omitted: @escaping OmittedContents) {
    contentBytesLeft = contentBytesMax
    self.omitted = omitted
  }

  private mutating func take(_ line: AssemblyLine) throws(AssemblyError) {
    guard let first = line.tokens.first else { return }
    guard first.bytes.first == UInt8(ascii: ".") else { return try takeContents(line) }
    guard let directive = Directive(rawValue: first.text) else {
      let known = Directive.allCases.map(\.rawValue).joined(separator: ", ")
      throw line.error(first, "\(first.text) is unknown; known: \(known)")
    }
    if !directive.continuesRegion { try closeRegion(line) }
    var arguments = DirectiveArguments(line, usage: directive.usage)
    try directive.take(&arguments, &self)
    try arguments.checkEnd()
  }

  private mutating func takeContents(_ line: AssemblyLine) throws(AssemblyError) {
    switch section {
    case .program: try takeInstruction(line)
    case .contents(let region): try takeMicroOp(line, region)
    case .none:
      throw line.error(
        line.tokens.first,
        "an instruction must follow .program, a micro-op a micro-ops .region; add one before")
    }
  }

  private mutating func finish(producer: String, lastLine: Int) throws(AssemblyError) -> Module {
    let end = try AssemblyLine(number: max(lastLine, 1), [])
    try closeRegion(end)
    guard let target else {
      throw end.error(nil, "the text names no target; add \(Directive.target.usage)")
    }
    guard let name = header.name else { throw end.error(nil, "the module has no name; add .module NAME") }
    if steps.isEmpty {
      steps = impliedSteps.quantize + programs.indices.map(Step.program) + impliedSteps.dequantize
    }
    let module = Module(
      name: name, producer: header.producer ?? producer, target: target, inputs: inputs, outputs: outputs,
      regions: regions, deviceTensors: tensors, programs: programs, steps: steps, layers: layers,
      preprocessing: header.preprocessing, labels: header.labels)
    do throws(ModuleError) {
      try ModuleCheck.check(module)
    } catch {
      throw AssemblyError(line: line(of: error) ?? end.number, column: 1, message: "\(error); correct it")
    }
    return module
  }

  /// The declaration whose words the error begins with.
  private func line(of error: ModuleError) -> Int? {
    lines.filter { entry in
      error.place.hasPrefix(entry.key) && error.place.dropFirst(entry.key.count).first?.isNumber != true
    }.max { $0.key.count < $1.key.count }?.value
  }

  /// - Parameter kind: the word that ``ModuleCheck`` uses.
  mutating func note(_ kind: String, _ index: Int? = nil, at line: AssemblyLine) {
    lines[index.map { "\(kind) \($0)" } ?? kind] = line.number
  }
}
