private import FoundationEssentials
internal import VTA
internal import VTAModule

/// What became of each layer, counted from the module's decoded programs: the file of `--report`.
package struct CompileReport: Sendable, Encodable {
  package struct Counts: Sendable, Encodable {
    package private(set) var gemmSteps = 0
    package private(set) var aluSteps = 0
    package private(set) var instructions = 0
    package private(set) var microOps = 0
    package private(set) var bytes = Bytes()

    enum CodingKeys: String, CodingKey {
      case gemmSteps = "gemm_steps"
      case aluSteps = "alu_steps"
      case instructions
      case microOps = "micro_ops"
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

    package var total: Int { inp + wgt + acc + uop + out }
  }

  package struct LayerEntry: Sendable, Encodable {
    package let name: String
    package let op: String
    /// `accelerator` or `host`.
    package let place: String
    package let why: String
    package let counts: Counts
    /// Tile, loop order and contexts; `nil` on the host, as are the numbers below.
    package let schedule: String?
    /// Share of the array's products that are the layer's own; `nil` also where nothing is multiplied.
    package let utilisation: Double?
    /// Every input, weight, constant and output once.
    package let leastBytes: Int?
    /// Shares of the scratchpads: what the layer loads into those of inputs and weights, tiles and constants in the
    /// accumulator.
    package let inputUse: Double?
    package let weightUse: Double?
    package let accumulatorUse: Double?
    /// Of the tensor that it computes, for the first calibration sample; `nil` where it was not measured.
    package var error: LayerError?
    /// Name of that tensor.
    let tensor: String?

    enum CodingKeys: String, CodingKey {
      case name, op, why, schedule
      case place = "where"
      case utilisation = "gemm_utilisation"
      case leastBytes = "least_dram_bytes"
      case inputUse = "input_use"
      case weightUse = "weight_use"
      case accumulatorUse = "accumulator_use"
      case error = "sqnr_db"
    }

    package func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(name, forKey: .name)
      try container.encode(op, forKey: .op)
      try container.encode(place, forKey: .place)
      try container.encode(why, forKey: .why)
      try container.encodeIfPresent(schedule, forKey: .schedule)
      try container.encodeIfPresent(utilisation, forKey: .utilisation)
      try container.encodeIfPresent(leastBytes, forKey: .leastBytes)
      try container.encodeIfPresent(inputUse, forKey: .inputUse)
      try container.encodeIfPresent(weightUse, forKey: .weightUse)
      try container.encodeIfPresent(accumulatorUse, forKey: .accumulatorUse)
      try container.encodeIfPresent(error, forKey: .error)
      try counts.encode(to: encoder)
    }
  }

  package private(set) var layers: [LayerEntry]
  /// The sums over all layers.
  package let totals: Counts

  /// - Throws: if a program of the module does not decode, which no compiled one does.
  init(_ module: Module, _ notes: [LayerNote]) throws {
    let set = try InstructionSet(
      configuration: module.target.configuration, revision: module.target.profile.revision)
    let programs = try module.programs.map { program in
      try program.instructions.withUnsafeBytes { try InstructionWords.stream($0).map(set.decode) }
    }
    var totals = Counts()
    layers = module.layers.enumerated().map { index, layer in
      var counts = Counts()
      var (inputUse, weightUse): (Double?, Double?)
      if let program = layer.program {
        let stream = programs[program][layer.instructions]
        counts = Counts(ProgramStatistics(stream, module.target.configuration))
        inputUse = Self.share(loadedInto: .inp, stream, module.target.configuration)
        weightUse = Self.share(loadedInto: .wgt, stream, module.target.configuration)
      }
      totals.add(counts)
      let note = layer.place == .accelerator ? notes[index] : nil
      let configuration = module.target.configuration
      let perStep = configuration.block * configuration.block
      let slots = counts.gemmSteps * perStep
      return LayerEntry(
        name: layer.name, op: layer.op, place: layer.place.rawValue, why: layer.why, counts: counts,
        schedule: note?.schedule,
        utilisation: note.flatMap { $0.products > 0 ? Double($0.products) / Double(max(slots, 1)) : nil },
        leastBytes: note?.leastBytes, inputUse: inputUse, weightUse: weightUse,
        accumulatorUse: note.flatMap {
          $0.accumulators > 0 ? Double($0.accumulators) / Double(configuration.depth(.acc)) : nil
        }, tensor: note.flatMap { $0.output.map { module.deviceTensors[$0].name } })
    }
    self.totals = totals
  }

  /// The share of a scratchpad that instructions load something into; `nil` for none.
  private static func share(
    loadedInto memory: MemoryType, _ instructions: ArraySlice<Instruction>,
    _ configuration: HardwareConfiguration
  ) -> Double? {
    var isLoaded = [Bool](repeating: false, count: configuration.depth(memory))
    for instruction in instructions {
      guard case .load(let transfer) = instruction.operation, transfer.memory == memory else { continue }
      let size =
        (transfer.yPad0 + transfer.ySize + transfer.yPad1)
        * (transfer.xPad0 + transfer.xSize + transfer.xPad1)
      for index in transfer.sramBase..<min(transfer.sramBase + size, isLoaded.count) {
        isLoaded[index] = true
      }
    }
    let count = isLoaded.count { $0 }
    return count == 0 ? nil : Double(count) / Double(isLoaded.count)
  }

  /// Notes the errors of tensors, by their name.
  package mutating func note(_ errors: [String: LayerError]) {
    for index in layers.indices { layers[index].error = layers[index].tensor.flatMap { errors[$0] } }
  }

  /// The report as a table of lines, for a terminal.
  package func table() -> [String] {
    func percent(_ share: Double?) -> String { share.map { "\(Int(($0 * 100).rounded()))%" } ?? "" }
    func decibels(_ value: Double?) -> String {
      // More is not told apart.
      value.map { $0 >= 200 ? "exact" : "\(Double(Int(($0 * 10).rounded())) / 10)" } ?? ""
    }
    func text(_ number: Int) -> String { String(number) }
    let header = [
      "layer", "operators", "GEMM", "used", "ALU", "instr.", "uops", "DRAM", "least", "inp/wgt/acc", "dB",
      "all dB", "schedule or reason",
    ]
    let rows = layers.map { layer in
      let isHost = layer.place == "host"
      let counts = layer.counts
      return [
        layer.name, layer.op, isHost ? "host" : text(counts.gemmSteps), percent(layer.utilisation),
        isHost ? "" : text(counts.aluSteps), isHost ? "" : text(counts.instructions),
        isHost ? "" : text(counts.microOps), isHost ? "" : text(counts.bytes.total),
        percent(layer.leastBytes.map { Double($0) / Double(max(1, counts.bytes.total)) }),
        isHost
          ? ""
          : [layer.inputUse, layer.weightUse, layer.accumulatorUse].map { $0 == nil ? "–" : percent($0) }
            .joined(separator: "/"),
        decibels(layer.error?.own), decibels(layer.error?.accumulated),
        layer.schedule.map { $0.isEmpty ? layer.why : $0 } ?? layer.why,
      ]
    }
    let sum = [
      "all", "", text(totals.gemmSteps), "", text(totals.aluSteps), text(totals.instructions),
      text(totals.microOps),
      text(totals.bytes.total), "", "", "", "", "",
    ]
    let all = [header] + rows + [sum]
    let widths = header.indices.map { column in min(28, all.map { $0[column].count }.max() ?? 0) }
    return all.map { row in
      row.enumerated().map { column, cell in
        if column == header.count - 1 { return cell }
        let cut = cell.count > widths[column] ? String(cell.prefix(widths[column] - 1)) + "…" : cell
        let space = String(repeating: " ", count: widths[column] - cut.count)
        return column < 2 ? cut + space : space + cut
      }.joined(separator: "  ")
    }
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
    microOps = statistics.microOpsLoaded
    func count(_ memory: MemoryType) -> Int { statistics.dramBytes[memory] ?? 0 }
    bytes = CompileReport.Bytes(
      inp: count(.inp), wgt: count(.wgt), acc: count(.acc), uop: count(.uop), out: count(.out))
  }

  fileprivate mutating func add(_ other: Self) {
    gemmSteps += other.gemmSteps
    aluSteps += other.aluSteps
    instructions += other.instructions
    microOps += other.microOps
    bytes.inp += other.bytes.inp
    bytes.wgt += other.bytes.wgt
    bytes.acc += other.bytes.acc
    bytes.uop += other.bytes.uop
    bytes.out += other.bytes.out
  }
}
