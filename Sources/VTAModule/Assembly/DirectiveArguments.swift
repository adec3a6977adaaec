internal import VTA

/// What stands behind a directive, taken one by one.
struct DirectiveArguments {
  let line: AssemblyLine
  /// `.region NAME ROLE …`, for errors.
  private let usage: String
  private var rest: ArraySlice<AssemblyToken>

  init(_ line: AssemblyLine, usage: String) {
    self.line = line
    self.usage = usage
    rest = line.tokens.dropFirst()
  }

  /// The directive itself.
  var directive: AssemblyToken { line.tokens[0] }
  var isEmpty: Bool { rest.isEmpty }
  /// What is left, in order.
  mutating func remaining() -> ArraySlice<AssemblyToken> {
    defer { rest = [] }
    return rest
  }

  mutating func next(_ what: String) throws(AssemblyError) -> AssemblyToken {
    guard let token = rest.popFirst() else { throw line.error(nil, "\(what) is missing; write \(usage)") }
    return token
  }

  mutating func name(_ what: String) throws(AssemblyError) -> String {
    let token = try next(what)
    guard let name = token.name else {
      throw line.error(token, "\(what) is no name; write letters, digits, _ . - or put it in quotes")
    }
    return name
  }

  mutating func integer(_ what: String, in range: ClosedRange<Int64>) throws(AssemblyError) -> Int64 {
    try integer(next(what), what, in: range)
  }

  func integer(
    _ token: AssemblyToken, _ what: String, in range: ClosedRange<Int64>
  ) throws(AssemblyError) -> Int64 {
    guard let value = token.integer, range.contains(value) else {
      throw line.error(
        token, "\(what) must be a number in \(range.lowerBound)…\(range.upperBound); correct \(token.text)")
    }
    return value
  }

  /// `16x6x6`
  mutating func extents(_ what: String) throws(AssemblyError) -> [Int] {
    let token = try next(what)
    var extents: [Int] = []
    for part in token.split("x") {
      extents.append(Int(try integer(part, "an extent of \(what)", in: 1...Int64(ModuleLimits.elementsMax))))
    }
    return extents
  }

  /// `CHANNELSxHEIGHTxWIDTH` of a tensor that the device can hold.
  mutating func imageExtents(
    _ what: String, _ configuration: HardwareConfiguration
  ) throws(AssemblyError) -> (channels: Int, height: Int, width: Int) {
    let token = rest.first
    let extents = try extents(what)
    guard extents.count == 3 else {
      throw line.error(token, "\(what) must have three extents; write CHANNELSxHEIGHTxWIDTH")
    }
    do throws(ModuleError) {
      _ = try ModuleCheck.product(
        extents + [configuration.batch * configuration.block], maximum: ModuleLimits.elementsMax, what)
    } catch {
      throw line.error(token, "\(what) has more than \(ModuleLimits.elementsMax) elements; make it smaller")
    }
    return (extents[0], extents[1], extents[2])
  }

  /// One of a few words.
  mutating func choice<Choice>(_ what: String, _ choices: [(String, Choice)]) throws(AssemblyError) -> Choice
  {
    let token = try next(what)
    guard let choice = choices.first(where: { $0.0 == token.text })?.1 else {
      let known = choices.map(\.0).joined(separator: ", ")
      throw line.error(token, "\(token.text) is no \(what); known: \(known)")
    }
    return choice
  }

  /// `KEY=VALUE`, wherever it stands; `nil` if it is not there.
  mutating func optional(_ key: String) -> AssemblyToken? {
    guard let index = rest.firstIndex(where: { $0.keyAndValue?.key == key }) else { return nil }
    return rest.remove(at: index).keyAndValue?.value
  }

  mutating func keyed(_ key: String) throws(AssemblyError) -> AssemblyToken {
    guard let value = optional(key) else { throw line.error(directive, "\(key)= is missing; write \(usage)") }
    return value
  }

  /// `KEY=0.5,1`
  mutating func numbers(_ key: String) throws(AssemblyError) -> [Float] {
    var numbers: [Float] = []
    let value = try keyed(key)
    for part in value.split(",") {
      guard let number = Float(part.text), number.isFinite else {
        throw line.error(part, "\(part.text) is no finite number; correct it")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// `KEY=0,2,1`
  mutating func axes(_ key: String) throws(AssemblyError) -> [Int] {
    var axes: [Int] = []
    let value = try keyed(key)
    for part in value.split(",") {
      axes.append(Int(try integer(part, "an axis", in: 0...Int64(ModuleLimits.rankMax))))
    }
    return axes
  }

  mutating func scale() throws(AssemblyError) -> Float {
    let scale = try numbers("scale")
    guard scale.count == 1, scale[0] > 0 else {
      throw line.error(directive, "scale must be one positive number; correct it")
    }
    return scale[0]
  }

  func checkEnd() throws(AssemblyError) {
    guard let token = rest.first else { return }
    throw line.error(token, "\(token.text) is too much; write \(usage)")
  }
}
