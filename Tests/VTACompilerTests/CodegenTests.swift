import Testing
import VTAModule

@testable import VTA
@testable import VTACompiler

/// Random integer layers, compiled, verified, run on the plain simulator and compared with naive loops.
@Suite struct CodegenTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let profile: HardwareProfile
    let seed: UInt64
    var testDescription: String { "\(profile.name) seed \(seed)" }
  }

  static let cases = HardwareProfile.all.flatMap { profile in
    (1...12).map { Case(profile: profile, seed: $0) }
  }

  @Test(arguments: cases)
  func compiledLayersEqualNaiveLoops(_ test: Case) throws {
    let target = try Target(name: "test", configuration: .default, profile: test.profile)
    var random = SeededGenerator(seed: test.seed)
    let graph = RandomGraph.make(&random, canMultiply: test.profile.hasMultiply)
    let module = try CodeGenerator.generate(
      graph, target: target, name: "random", producer: "test", preprocessing: nil, labels: [])
    let input = graph.values[0]
    let values = (0..<input.channels * input.height * input.width).map { _ in
      Int8.random(in: -128...127, using: &random)
    }
    let expected = NaiveInteger.evaluate(graph, input: values)
    // Modules may interleave in any order that tokens allow.
    for schedule in [Schedule.inOrder, .seeded(test.seed), .seeded(test.seed + 1000)] {
      var machine = try TestMachine(module)
      try machine.write(values, tensor: 0)
      try machine.run(schedule)
      // What stays on chip has no tensor; the last value always has one.
      #expect(module.deviceTensors.last?.name == graph.values.last?.name)
      for (index, tensor) in module.deviceTensors.enumerated().dropFirst() {
        let value = try #require(graph.values.firstIndex { $0.name == tensor.name })
        let found = try machine.read(tensor: index)
        #expect(found == expected[value], "\(tensor.name) of \(graph.steps.map(\.op)), \(schedule)")
      }
    }
  }

  /// One program per profile under many more orders.
  @Test(arguments: HardwareProfile.all)
  func everyOrderGivesTheSameBytes(_ profile: HardwareProfile) throws {
    let target = try Target(name: "test", configuration: .default, profile: profile)
    var random = SeededGenerator(seed: 3)
    var graph = RandomGraph.make(&random)
    while graph.values.contains(where: { $0.channels * $0.height * $0.width > 4000 }) {
      graph = RandomGraph.make(&random)
    }
    let module = try CodeGenerator.generate(
      graph, target: target, name: "random", producer: "test", preprocessing: nil, labels: [])
    let input = graph.values[0]
    let values = (0..<input.channels * input.height * input.width).map { _ in
      Int8.random(in: -128...127, using: &random)
    }
    let expected = NaiveInteger.evaluate(graph, input: values)
    for seed in 0..<300 as Range<UInt64> {
      var machine = try TestMachine(module)
      try machine.write(values, tensor: 0)
      try machine.run(.seeded(seed))
      let last = try machine.read(tensor: module.deviceTensors.count - 1)
      #expect(last == expected[graph.values.count - 1], "seed \(seed)")
    }
  }

  @Test func equalGraphsGiveEqualModules() throws {
    var first = SeededGenerator(seed: 7)
    var second = SeededGenerator(seed: 7)
    func module(_ random: inout SeededGenerator) throws -> Module {
      try CodeGenerator.generate(
        RandomGraph.make(&random), target: try #require(Target.named("sim")), name: "same", producer: "test",
        preprocessing: nil, labels: [])
    }
    #expect(try module(&first) == module(&second))
  }
}

/// A chain of random layers with a residual sum at its end.
enum RandomGraph {
  static func make(_ random: inout SeededGenerator, canMultiply: Bool = false) -> QuantizedGraph {
    var graph = QuantizedGraph(
      name: "random", inputs: [], outputs: [],
      values: [
        QuantizedValue(
          name: "input", channels: Int.random(in: 1...40, using: &random),
          height: Int.random(in: 1...40, using: &random), width: Int.random(in: 1...40, using: &random),
          scale: 1, zeroPoint: zeroPoint(&random))
      ], steps: [])
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      switch Int.random(in: 0..<7, using: &random) {
      case 6: addJoin(&graph, &random)
      case 5: addTransposed(&graph, &random)
      case 0: addPool(&graph, &random)
      case 1: addAverage(&graph, &random)
      default: addConvolution(&graph, &random)
      }
    }
    addSum(&graph, &random)
    if canMultiply {
      for index in graph.steps.indices {
        guard case .accumulate(var layer, let output) = graph.steps[index].operation,
          Bool.random(using: &random)
        else {
          continue
        }
        let factors = layer.bias.map { _ in Int32.random(in: 1...32767, using: &random) }
        layer.roundsToEven = false
        layer.multiplier = Multiplier(
          preShift: Int.random(in: 0...17, using: &random), limit: factors.map { (1 << 29) / $0 },
          factor: factors)
        graph.steps[index].operation = .accumulate(layer, output: output)
      }
    }
    return graph
  }

  private static func zeroPoint(_ random: inout SeededGenerator) -> Int {
    Bool.random(using: &random) ? 0 : Int.random(in: -128...127, using: &random)
  }

  private static func window(
    _ extent: Int, _ random: inout SeededGenerator
  ) -> (kernel: Int, stride: Int, before: Int, after: Int, output: Int) {
    let kernel = Int.random(in: 1...min(5, extent), using: &random)
    let stride = Int.random(in: 1...3, using: &random)
    let before = Int.random(in: 0..<kernel, using: &random)
    let after = Int.random(in: 0..<kernel, using: &random)
    return (kernel, stride, before, after, (extent + before + after - kernel) / stride + 1)
  }

  private static func addConvolution(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    let input = graph.values.count - 1
    let source = graph.values[input]
    let y = window(source.height, &random)
    let x = window(source.width, &random)
    let kind = Int.random(in: 0..<5, using: &random)
    let isDepthwise = kind == 0
    let divisors = (1...source.channels).filter { source.channels % $0 == 0 }
    let groups = kind < 3 ? divisors.randomElement(using: &random) ?? 1 : 1
    let outputs =
      isDepthwise
      ? source.channels
      : kind == 1
        ? groups * Int.random(in: 1...4, using: &random)
        : kind == 2 ? source.channels : Int.random(in: 1...70, using: &random)
    let count = outputs * (isDepthwise ? 1 : source.channels / groups) * y.kernel * x.kernel
    let uniform = Int.random(in: 0..<3, using: &random) == 0
    var weights = (0..<count).map { _ in uniform ? 5 : Int8.random(in: -127...127, using: &random) }
    if kind == 3 {
      // Whole tiles of zeros, which need no work.
      for index in weights.indices where index < weights.count / 2 { weights[index] = 0 }
    }
    let term = AccumulateTerm(
      input: input,
      weights: isDepthwise
        ? .depthwise(weights) : kind < 3 ? .grouped(weights, groups: groups) : .dense(weights),
      kernel: (y.kernel, x.kernel), stride: (y.stride, x.stride),
      padding: Padding(top: y.before, left: x.before, bottom: y.after, right: x.after))
    add(
      &graph, Accumulate(terms: [term], outputs: outputs, &random), "Conv", outputs, y.output, x.output)
  }

  private static func addPool(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    let input = graph.values.count - 1
    let source = graph.values[input]
    let y = window(source.height, &random)
    let x = window(source.width, &random)
    let pool = MaxPool(
      input: input, kernel: (y.kernel, x.kernel), stride: (y.stride, x.stride),
      padding: Padding(top: y.before, left: x.before, bottom: y.after, right: x.after), low: -128, high: 100)
    graph.values.append(
      QuantizedValue(
        name: "v\(graph.values.count)", channels: source.channels, height: y.output, width: x.output,
        scale: 1,
        zeroPoint: source.zeroPoint))
    graph.steps.append(
      QuantizedStep(
        name: "pool", op: "MaxPool", why: "", operation: .maxPool(pool, output: graph.values.count - 1)))
  }

  /// Weights that differ at random lines and at one position, which those of an average never do.
  private static func addAverage(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    let input = graph.values.count - 1
    let source = graph.values[input]
    let y = window(source.height, &random)
    let x = window(source.width, &random)
    let rows = (0..<y.output).map { _ in Int.random(in: 0..<4, using: &random) == 0 ? 7 : 2 }
    let columns = (0..<x.output).map { _ in Int.random(in: 0..<6, using: &random) == 0 ? -9 : 3 }
    var weights = rows.flatMap { row in columns.map { Int8(row * $0) } }
    weights[weights.indices.randomElement(using: &random) ?? 0] = 100
    let term = AccumulateTerm(
      input: input, weights: .positional(weights),
      kernel: (y.kernel, x.kernel), stride: (y.stride, x.stride),
      padding: Padding(top: y.before, left: x.before, bottom: y.after, right: x.after))
    let layer = Accumulate(terms: [term], outputs: source.channels, &random)
    add(&graph, layer, "AveragePool", source.channels, y.output, x.output)
  }

  /// Terms that write some of the output positions, with padding that may be negative.
  private static func addTransposed(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    let input = graph.values.count - 1
    let source = graph.values[input]
    let outputs = Int.random(in: 1...40, using: &random)
    let height = Int.random(in: 1...max(1, min(40, 2 * source.height)), using: &random)
    let width = Int.random(in: 1...max(1, min(40, 2 * source.width)), using: &random)
    func axis(_ extent: Int, _ output: Int) -> (places: Places.Axis, kernel: Int, before: Int, after: Int) {
      let stride = Int.random(in: 1...4, using: &random)
      let places = Places.Axis(first: Int.random(in: 0..<output, using: &random), stride: stride)
      let kernel = Int.random(in: 1...3, using: &random)
      let before = Int.random(in: -1...2, using: &random)
      let count = places.indices(in: 0..<output).count
      return (places, kernel, before, count - 1 + kernel - extent - before)
    }
    let terms = (0..<3).compactMap { _ -> AccumulateTerm? in
      let (y, x) = (axis(source.height, height), axis(source.width, width))
      // More padding than the hardware has is refused elsewhere.
      guard y.after <= 15, x.after <= 15 else { return nil }
      let count = outputs * source.channels * y.kernel * x.kernel
      return AccumulateTerm(
        input: input, weights: .dense((0..<count).map { _ in Int8.random(in: -9...9, using: &random) }),
        kernel: (y.kernel, x.kernel), stride: (1, 1),
        padding: Padding(top: y.before, left: x.before, bottom: y.after, right: x.after),
        places: Places(rows: y.places, columns: x.places))
    }
    add(
      &graph, Accumulate(terms: terms, outputs: outputs, &random), "ConvTranspose", outputs, height, width)
  }

  /// The last value convolved, plus itself: in one sum, or behind the first shift as a residual sum is.
  private static func addSum(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    if Bool.random(using: &random) { return addResidual(&graph, &random) }
    let input = graph.values.count - 1
    let source = graph.values[input]
    func term(_ weights: AccumulateTerm.Weights) -> AccumulateTerm {
      AccumulateTerm(input: input, weights: weights, kernel: (1, 1), stride: (1, 1), padding: .none)
    }
    let dense = (0..<source.channels * source.channels).map { _ in Int8.random(in: -127...127, using: &random)
    }
    let identity = (0..<source.channels).map { _ in Int8(1) << Int8.random(in: 0...6, using: &random) }
    let layer = Accumulate(
      terms: [term(.dense(dense)), term(.depthwise(identity))], outputs: source.channels, &random)
    add(&graph, layer, "Conv+Add", source.channels, source.height, source.width)
  }

  /// The last value convolved twice, and what both give joined with it: where channels fill blocks, without any work.
  private static func addJoin(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    let input = graph.values.count - 1
    let source = graph.values[input]
    var parts = [input]
    for _ in 0..<2 {
      let outputs = Bool.random(using: &random) ? 16 : Int.random(in: 1...40, using: &random)
      let weights = (0..<outputs * source.channels).map { _ in Int8.random(in: -127...127, using: &random) }
      let term = AccumulateTerm(
        input: input, weights: .dense(weights), kernel: (1, 1), stride: (1, 1), padding: .none)
      add(
        &graph, Accumulate(terms: [term], outputs: outputs, &random), "Conv", outputs, source.height,
        source.width)
      graph.values[graph.values.count - 1].zeroPoint = source.zeroPoint
      parts.append(graph.values.count - 1)
    }
    // What the accelerator does not compute may be a part too.
    if Bool.random(using: &random) { parts.removeFirst() }
    let channels = parts.reduce(0) { $0 + graph.values[$1].channels }
    var offset = 0
    let terms = parts.map { part -> AccumulateTerm in
      let count = graph.values[part].channels
      var matrix = [Int8](repeating: 0, count: channels * count)
      for channel in 0..<count { matrix[(offset + channel) * count + channel] = 1 }
      offset += count
      return AccumulateTerm(
        input: part, weights: .dense(matrix), kernel: (1, 1), stride: (1, 1), padding: .none)
    }
    let zeros = [Int](repeating: 0, count: channels)
    add(
      &graph,
      Accumulate(terms: terms, bias: zeros.map { Int32($0) }, shift: zeros, low: -128, high: 127), "Concat",
      channels, source.height, source.width)
    graph.values[graph.values.count - 1].zeroPoint = source.zeroPoint
  }

  private static func addResidual(_ graph: inout QuantizedGraph, _ random: inout SeededGenerator) {
    let input = graph.values.count - 1
    let source = graph.values[input]
    let reach = Int.random(in: 0...1, using: &random)
    let kernel = 2 * reach + 1
    let count = source.channels * source.channels * kernel * kernel
    var terms = [
      AccumulateTerm(
        input: input, weights: .dense((0..<count).map { _ in Int8.random(in: -127...127, using: &random) }),
        kernel: (kernel, kernel), stride: (1, 1),
        padding: Padding(top: reach, left: reach, bottom: reach, right: reach))
    ]
    let inputs = graph.values.indices.filter {
      let value = graph.values[$0]
      return (value.channels, value.height, value.width) == (source.channels, source.height, source.width)
    }
    for _ in 0..<Int.random(in: 1...2, using: &random) {
      let weight = Int8.random(in: -127...127, using: &random)
      terms.append(
        AccumulateTerm(
          input: inputs.randomElement(using: &random) ?? input,
          weights: .depthwise([Int8](repeating: weight, count: source.channels)), kernel: (1, 1),
          stride: (1, 1), padding: .none, isLate: true))
    }
    var layer = Accumulate(terms: terms, outputs: source.channels, &random)
    layer.lateShift = Int.random(in: 0...8, using: &random)
    // What the output's zero point adds must stay within the accumulator's bits.
    layer.shift = layer.shift.map { min($0, 14) }
    add(&graph, layer, "Conv+Add", source.channels, source.height, source.width)
  }

  private static func add(
    _ graph: inout QuantizedGraph, _ layer: Accumulate, _ op: String, _ channels: Int, _ height: Int,
    _ width: Int
  ) {
    graph.values.append(
      QuantizedValue(
        name: "v\(graph.values.count)", channels: channels, height: height, width: width, scale: 1,
        zeroPoint: graph.values.count % 3 == 0 ? 0 : -128 + 37 * graph.values.count % 200))
    graph.steps.append(
      QuantizedStep(
        name: op, op: op, why: "", operation: .accumulate(layer, output: graph.values.count - 1)))
  }
}

extension Accumulate {
  init(terms: [AccumulateTerm], outputs: Int, _ random: inout SeededGenerator) {
    let same = Int.random(in: 0..<2, using: &random) == 0 ? Int.random(in: 0...18, using: &random) : nil
    self.init(
      terms: terms, bias: (0..<outputs).map { _ in Int32.random(in: -5000...5000, using: &random) },
      shift: (0..<outputs).map { _ in same ?? Int.random(in: 0...20, using: &random) },
      leak: [[], [], [3], [2, 1, 4]].randomElement(using: &random) ?? [],
      low: Bool.random(using: &random) ? -128 : 0, high: 127)
    roundsToEven = leak.isEmpty && shift.allSatisfy { $0 > 0 } && Bool.random(using: &random)
  }
}

/// Seven nested loops: the oracle.
enum NaiveInteger {
  static func evaluate(_ graph: QuantizedGraph, input: [Int8]) -> [[Int8]] {
    var values: [[Int8]] = Array(repeating: [], count: graph.values.count)
    values[0] = input
    for step in graph.steps {
      switch step.operation {
      case .accumulate(let layer, let output):
        values[output] = accumulate(layer, graph.values[output], graph, values)
      case .maxPool(let pool, let output):
        values[output] = maxPool(pool, graph.values[output], graph, values)
      default: break
      }
    }
    return values
  }

  private static func accumulate(
    _ layer: Accumulate, _ out: QuantizedValue, _ graph: QuantizedGraph, _ values: [[Int8]]
  ) -> [Int8] {
    var result: [Int8] = []
    for o in 0..<out.channels {
      for y in 0..<out.height {
        for x in 0..<out.width {
          var sum = layer.bias[o]
          var late: Int32 = 0
          for term in layer.terms {
            let source = graph.values[term.input]
            if term.isLate, case .depthwise(let weights) = term.weights {
              let value = values[term.input][(o * source.height + y) * source.width + x]
              late &+= (Int32(value) - Int32(source.zeroPoint)) &* Int32(weights[o])
              continue
            }
            let (rows, columns) = (term.places.rows, term.places.columns)
            guard y >= rows.first, (y - rows.first) % rows.stride == 0, x >= columns.first,
              (x - columns.first) % columns.stride == 0
            else { continue }
            let (placeY, placeX) = ((y - rows.first) / rows.stride, (x - columns.first) / columns.stride)
            for r in 0..<term.kernel.height {
              for s in 0..<term.kernel.width {
                let row = placeY * term.stride.height + r - term.padding.top
                let column = placeX * term.stride.width + s - term.padding.left
                guard (0..<source.height).contains(row), (0..<source.width).contains(column) else { continue }
                func value(_ channel: Int) -> Int32 {
                  Int32(values[term.input][(channel * source.height + row) * source.width + column])
                    - Int32(source.zeroPoint)
                }
                let taps = term.kernel.height * term.kernel.width
                let tap = r * term.kernel.width + s
                switch term.weights {
                case .depthwise(let weights): sum &+= value(o) &* Int32(weights[o * taps + tap])
                case .positional(let weights): sum &+= value(o) &* Int32(weights[y * out.width + x])
                case .grouped(let weights, let groups):
                  let width = source.channels / groups
                  let first = o / (out.channels / groups) * width
                  for i in 0..<width {
                    sum &+= value(first + i) &* Int32(weights[(o * width + i) * taps + tap])
                  }
                case .dense(let weights):
                  for i in 0..<source.channels {
                    sum &+= value(i) &* Int32(weights[(o * source.channels + i) * taps + tap])
                  }
                }
              }
            }
          }
          if let multiplier = layer.multiplier {
            sum = min(max(sum >> Int32(multiplier.preShift), -multiplier.limit[o]), multiplier.limit[o])
            sum = sum &* multiplier.factor[o]
          }
          if !layer.leak.isEmpty {
            var part: Int32 = 0
            for amount in layer.leak { part = (part &+ sum) >> Int32(amount) }
            sum = max(sum, part)
          }
          if layer.roundsToEven {
            let isEven = (sum >> Int32(layer.shift[o])) & 1 == 0
            sum = sum &+ (1 << Int32(layer.shift[o] - 1)) &- (isEven ? 1 : 0)
          }
          if layer.roundsLate { sum = sum &+ (layer.shift[o] > 0 ? 1 << Int32(layer.shift[o] - 1) : 0) }
          late &+= sum >> Int32(layer.shift[o])
          if layer.lateShift > 0 {
            late = (late &+ 1 << Int32(layer.lateShift - 1)) >> Int32(layer.lateShift)
          }
          let shifted = Int(late) + out.zeroPoint
          result.append(Int8(min(max(shifted, layer.low), layer.high)))
        }
      }
    }
    return result
  }

  private static func maxPool(
    _ pool: MaxPool, _ out: QuantizedValue, _ graph: QuantizedGraph, _ values: [[Int8]]
  ) -> [Int8] {
    let source = graph.values[pool.input]
    var result: [Int8] = []
    for c in 0..<out.channels {
      for y in 0..<out.height {
        for x in 0..<out.width {
          var best = pool.low
          for r in 0..<pool.kernel.height {
            for s in 0..<pool.kernel.width {
              let row = y * pool.stride.height + r - pool.padding.top
              let column = x * pool.stride.width + s - pool.padding.left
              guard (0..<source.height).contains(row), (0..<source.width).contains(column) else { continue }
              best = max(best, Int(values[pool.input][(c * source.height + row) * source.width + column]))
            }
          }
          result.append(Int8(min(best, pool.high)))
        }
      }
    }
    return result
  }
}

/// A module in simulated memory, without the runtime.
struct TestMachine {
  let module: Module
  private let memory = SimulatedMemory()
  private var addresses: [UInt64] = []
  private var simulator: FunctionalSimulator

  init(_ module: Module) throws {
    self.module = module
    simulator = try FunctionalSimulator(target: module.target)
    for region in module.regions {
      let address = try memory.allocate(byteCount: region.byteCount)
      addresses.append(address)
      switch region.role {
      case .constant(let bytes), .microOps(let bytes):
        try memory.withMutableBytes(at: address, count: bytes.count) { $0.copyBytes(from: bytes) }
      case .workspace: break
      }
    }
  }

  mutating func run(_ schedule: Schedule) throws {
    let set = try InstructionSet(
      configuration: module.target.configuration, revision: module.target.profile.revision)
    for program in module.programs {
      var words = program.instructions.withUnsafeBytes { InstructionWords.stream($0) }
      for relocation in program.relocations {
        var instruction = try set.decode(words[relocation.instruction])
        let base = addresses[relocation.region] + relocation.byteOffset
        func patched(_ transfer: Transfer) -> Transfer {
          var transfer = transfer
          transfer.dramBase = UInt32(base / UInt64(module.target.configuration.elementBytes(transfer.memory)))
          return transfer
        }
        switch instruction.operation {
        case .load(let transfer): instruction.operation = .load(patched(transfer))
        case .store(let transfer): instruction.operation = .store(patched(transfer))
        default: Issue.record("a relocation on an instruction without an address")
        }
        words[relocation.instruction] = try set.encode(instruction)
      }
      try check(words)
      var bytes: [UInt8] = []
      for word in words { word.append(to: &bytes) }
      let address = try memory.allocate(byteCount: UInt64(bytes.count))
      try memory.withMutableBytes(at: address, count: bytes.count) { $0.copyBytes(from: bytes) }
      try simulator.run(
        instructionAddress: address, count: words.count, memory: memory, schedule: schedule)
      memory.free(address)
    }
  }

  private func check(_ words: [InstructionWords]) throws {
    let extents = zip(module.regions, addresses).map { region, address in
      ProgramVerifier.Extent(
        address: address, byteCount: region.byteCount, isWritable: region.role == .workspace)
    }
    let findings = try ProgramVerifier.findings(words, target: module.target, extents: extents) {
      address, count in
      try? memory.withBytes(at: address, count: count * 4) { Array($0.bindMemory(to: UInt32.self)) }
    }
    #expect(findings.isEmpty, "\(findings.prefix(3).map(\.description))")
  }

  func write(_ values: [Int8], tensor index: Int) throws {
    let tensor = module.deviceTensors[index]
    let c = module.target.configuration
    try memory.withMutableBytes(
      at: addresses[tensor.region] + tensor.byteOffset, count: Int(tensor.byteCount(c))
    ) { bytes in
      for (position, value) in values.enumerated() {
        bytes[offset(position, tensor)] = UInt8(bitPattern: value)
      }
    }
  }

  func read(tensor index: Int) throws -> [Int8] {
    let tensor = module.deviceTensors[index]
    let c = module.target.configuration
    return try memory.withBytes(
      at: addresses[tensor.region] + tensor.byteOffset, count: Int(tensor.byteCount(c))
    ) { bytes in
      (0..<tensor.channels * tensor.height * tensor.width).map { Int8(bitPattern: bytes[offset($0, tensor)]) }
    }
  }

  /// Byte of element `position` (C, H, W) in the packed layout, for batch 1 and eight bits.
  private func offset(_ position: Int, _ tensor: DeviceTensor) -> Int {
    let block = module.target.configuration.block
    let area = tensor.height * tensor.width
    let channel = position / area
    return ((channel / block) * area + position % area) * block + channel % block
  }
}
