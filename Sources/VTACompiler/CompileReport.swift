private import FoundationEssentials
internal import VTA
internal import VTAModule

/// What became of each layer, counted from the module's decoded programs: the file of `--report`.
package struct CompileReport: Sendable, Encodable {
  package struct Counts: Sendable, Encodable {
    package private(set) var gemmSteps = 0
    package private(set) var aluSteps = 0
    package private(set) var instructions = 0
    package private(set) var bytes = Bytes()

    enum CodingKeys: String, CodingKey {
      case gemmSteps = "gemm_steps"
      case aluSteps = "alu_steps"
      case instructions
      case bytes = "dram_bytes"
    }
  }

  /// Bytes between DRAM and each scratchpad; `out` counts stores.
  package struct Bytes: Sendable, Encodable {
    package var inp = 0
    package var wgt = 0
    package var acc = 0
    package var uop = 0
    package var out = 0
  }

  package struct LayerEntry: Sendable, Encodable {
    package let name: String
    package let op: String
    /// `accelerator` or `host`.
    package let place: String
    package let why: String
    package let counts: Counts

    enum CodingKeys: String, CodingKey {
      case name, op, why
      case place = "where"
    }

    package func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(name, forKey: .name)
      try container.encode(op, forKey: .op)
      try container.encode(place, forKey: .place)
      try container.encode(why, forKey: .why)
      try counts.encode(to: encoder)
    }
  }

  package let layers: [LayerEntry]
  /// The sums over all layers.
  package let totals: Counts

  /// - Throws: if a program of the module does not decode, which no compiled one does.
  init(_ module: Module) throws {
    let set = try InstructionSet(
      configuration: module.target.configuration, revision: module.target.profile.revision)
    let programs = try module.programs.map { program in
      try program.instructions.withUnsafeBytes { try InstructionWords.stream($0).map(set.decode) }
    }
    var totals = Counts()
    layers = module.layers.enumerated().map { index, layer in
      var counts = Counts()
      if let program = layer.program {
        // FINISH belongs to the layer it follows.
        let isLast = !module.layers[(index + 1)...].contains { $0.program == program }
        let end = isLast ? programs[program].count : layer.instructions.upperBound
        let stream = programs[program][layer.instructions.lowerBound..<end]
        counts = Counts(ProgramStatistics(stream, module.target.configuration))
      }
      totals.add(counts)
      return LayerEntry(
        name: layer.name, op: layer.op, place: layer.place.rawValue, why: layer.why, counts: counts)
    }
    self.totals = totals
  }

  /// The report as JSON with a line end.
  package func json() -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // Strings and integers: encoding cannot fail.
    return ((try? encoder.encode(self)).map { [UInt8]($0) } ?? []) + [UInt8(ascii: "\n")]
  }
}

extension CompileReport.Counts {
  fileprivate init(_ statistics: ProgramStatistics) {
    gemmSteps = statistics.gemmSteps
    aluSteps = statistics.aluSteps
    instructions = statistics.instructions
    func count(_ memory: MemoryType) -> Int { statistics.dramBytes[memory] ?? 0 }
    bytes = CompileReport.Bytes(
      inp: count(.inp), wgt: count(.wgt), acc: count(.acc), uop: count(.uop), out: count(.out))
  }

  fileprivate mutating func add(_ other: Self) {
    gemmSteps += other.gemmSteps
    aluSteps += other.aluSteps
    instructions += other.instructions
    bytes.inp += other.bytes.inp
    bytes.wgt += other.bytes.wgt
    bytes.acc += other.bytes.acc
    bytes.uop += other.bytes.uop
    bytes.out += other.bytes.out
  }
}
