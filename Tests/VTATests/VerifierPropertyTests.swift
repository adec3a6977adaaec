import Testing

@testable import VTA

/// Random programs judged by the verifier and by a naive one that shares nothing with it: all pairs, all steps, all
/// bytes, and reachability by search.
@Suite struct VerifierPropertyTests {

  @Test(arguments: [HardwareProfile.fsim, .hls002, .chisel2020, .ocl])
  func agreesWithTheNaiveVerifier(_ profile: HardwareProfile) throws {
    var racy = 0
    var clean = 0
    for seed in 0..<400 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let program = try RandomProgram.make(profile, &random)
      let findings = try program.findings()
      let naive = NaiveVerifier(program)
      let races = naive.races
      let found = findings.filter { $0.message.contains("no chain of tokens") }
      #expect(found.isEmpty == races.isEmpty, "seed \(seed): \(races) \(found.map(\.description))")
      for finding in found {
        // "… which instruction N reads: …"
        let other = finding.message.split(separator: "instruction ").last?.prefix { $0.isNumber }
        let pair = [finding.instruction, other.flatMap { Int($0) }].compactMap { $0 }.sorted()
        #expect(races.contains(pair), "seed \(seed): \(finding)")
      }
      if races.isEmpty {
        let unwritten = Set(findings.filter { $0.message.contains("nothing has written") }.map(\.instruction))
        #expect(unwritten == Set(naive.unwrittenReads.map(Optional.some)), "seed \(seed)")
      }
      if findings.isEmpty {
        clean += 1
        let expected = try program.run()
        for order in 0..<20 as Range<UInt64> {
          #expect(try program.run(.seeded(order)) == expected, "seed \(seed) order \(order)")
        }
      }
      racy += races.isEmpty ? 0 : 1
    }
    // The generator must not be one-sided.
    #expect(clean > 20 && (racy > 50 || profile == .ocl), "\(clean) clean, \(racy) with races")
  }

  /// In bounds, but for hours: a loop that only repeats itself.
  @Test func endlessLoopsAreRefused() throws {
    var program = try TestProgram(.fsim)
    program.microOps = [MicroOp(dst: 0, src: 0), MicroOp(dst: 0, src: 0)]
    for (extent, isRefused) in [(4096, false), (4097, true), (16383, true)] {
      let loops = LoopNest(uopBegin: 0, uopEnd: 1, iterOut: extent, iterIn: extent)
      program.instructions = [
        .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 2), .gemm(reset: true, loops),
        Instruction(.finish),
      ]
      #expect(try program.findings().isEmpty != isRefused)
    }
  }

  /// The bound on waiting tokens holds under random schedules, and some schedule reaches it.
  @Test func tokenBoundIsTight() throws {
    for seed in 0..<100 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let program = try RandomProgram.make(.fsim, &random)
      let bound = InstructionOrder(program.instructions, profile: .fsim).tokensMax(program.instructions)
      var most = 0
      for order in 0..<400 as Range<UInt64> {
        var dispatch = TokenDispatch(program.instructions, profile: .fsim)
        var picker = ModulePicker(.seeded(order))
        var balance = [0, 0, 0, 0]
        while let module = picker.next(dispatch), let index = dispatch.takeReady(module) {
          let flags = program.instructions[index].flags
          let m = module.rawValue
          if flags.contains(.popPrev), m > 0 { balance[m - 1] -= 1 }
          if flags.contains(.popNext), m < 2 { balance[m + 2] -= 1 }
          if flags.contains(.pushNext), m < 2 { balance[m] += 1 }
          if flags.contains(.pushPrev), m > 0 { balance[m + 1] += 1 }
          most = max(most, balance.max() ?? 0)
          dispatch.complete(index)
        }
      }
      #expect(most == bound, "seed \(seed)")
    }
  }
}

private struct NaiveVerifier {
  private enum Place: Hashable {
    case inp(Int)
    case wgt(Int)
    case acc(Int)
    case out(Int)
    case byte(UInt64)
  }

  private let program: TestProgram
  private var reads: [Set<Place>] = []
  private var writes: [Set<Place>] = []
  private var reaches: [[Bool]] = []

  init(_ program: TestProgram) {
    self.program = program
    for instruction in program.instructions {
      var (reads, writes) = (Set<Place>(), Set<Place>())
      collect(instruction, &reads, &writes)
      self.reads.append(reads)
      self.writes.append(writes)
    }
    connect()
  }

  /// Pairs of instructions of different modules that conflict and that nothing orders.
  var races: Set<[Int]> {
    var races: Set<[Int]> = []
    let instructions = program.instructions
    for first in instructions.indices {
      for second in instructions.indices where second > first {
        guard instructions[first].module != instructions[second].module, !reaches[first][second],
          !reaches[second][first]
        else { continue }
        if !writes[first].isDisjoint(with: writes[second]) || !writes[first].isDisjoint(with: reads[second])
          || !reads[first].isDisjoint(with: writes[second])
        {
          races.insert([first, second])
        }
      }
    }
    return races
  }

  /// In program order, which is a legal one.
  var unwrittenReads: Set<Int> {
    var written: Set<Place> = []
    var found: Set<Int> = []
    for index in program.instructions.indices {
      let scratchpads = reads[index].filter { if case .byte = $0 { false } else { true } }
      if !scratchpads.isSubset(of: written) { found.insert(index) }
      written.formUnion(writes[index])
    }
    return found
  }

  private func collect(_ instruction: Instruction, _ reads: inout Set<Place>, _ writes: inout Set<Place>) {
    let c = program.target.configuration
    let separate = program.target.profile.hasSeparateOutBuffer
    func out(_ element: Int) -> Place { separate ? .out(element) : .acc(element) }
    switch instruction.operation {
    case .load(let t):
      guard t.memory != .uop else { return }
      for y in 0..<t.ySize {
        for x in 0..<t.xSize {
          let element = t.sramBase + y * t.xSize + x
          writes.insert(t.memory == .inp ? .inp(element) : t.memory == .wgt ? .wgt(element) : .acc(element))
          insertBytes(t, y, x, c.elementBytes(t.memory), &reads)
        }
      }
    case .store(let t):
      for y in 0..<t.ySize {
        for x in 0..<t.xSize {
          reads.insert(out(t.sramBase + y * t.xSize + x))
          insertBytes(t, y, x, c.elementBytes(.out), &writes)
        }
      }
    case .gemm(let g):
      forEachStep(g.loops) { dst, src, _ in
        writes.insert(.acc(dst))
        if g.reset {
          if program.target.profile.resetOutput != .unchanged { writes.insert(out(dst)) }
        } else {
          reads.formUnion([.inp(src), .wgt(0), .acc(dst)])
          writes.insert(out(dst))
        }
      }
    case .alu(let a):
      forEachStep(a.loops) { dst, _, _ in
        reads.insert(.acc(dst))
        writes.formUnion([.acc(dst), out(dst)])
      }
    case .finish: break
    }
  }

  private func insertBytes(_ t: Transfer, _ y: Int, _ x: Int, _ size: Int, _ places: inout Set<Place>) {
    let first = (UInt64(t.dramBase) + UInt64(y * t.xStride + x)) * UInt64(size)
    for byte in first..<first + UInt64(size) { places.insert(.byte(byte)) }
  }

  private func forEachStep(_ l: LoopNest, _ body: (Int, Int, Int) -> Void) {
    for o in 0..<l.iterOut {
      for i in 0..<l.iterIn {
        for u in l.uopBegin..<l.uopEnd {
          let op = program.microOps[u]
          body(
            op.dst + o * l.dstFactorOut + i * l.dstFactorIn, op.src + o * l.srcFactorOut + i * l.srcFactorIn,
            op.wgt)
        }
      }
    }
  }

  private mutating func connect() {
    let instructions = program.instructions
    let count = instructions.count
    reaches = Array(repeating: Array(repeating: false, count: count), count: count)
    if program.target.profile.dispatch == .sequential {
      for first in 0..<count {
        for second in (first + 1)..<max(count, first + 1) { reaches[first][second] = true }
      }
      return
    }
    for module in ExecutionModule.allCases {
      let stream = instructions.indices.filter { instructions[$0].module == module }
      for (first, second) in zip(stream, stream.dropFirst()) { reaches[first][second] = true }
    }
    for (from, to, push, pop) in [
      (0, 1, DependenceFlags.pushNext, DependenceFlags.popPrev), (1, 2, .pushNext, .popPrev),
      (1, 0, .pushPrev, .popNext), (2, 1, .pushPrev, .popNext),
    ] {
      let pushes = instructions.indices.filter {
        instructions[$0].module.rawValue == from && instructions[$0].flags.contains(push)
      }
      let pops = instructions.indices.filter {
        instructions[$0].module.rawValue == to && instructions[$0].flags.contains(pop)
      }
      for (producer, consumer) in zip(pushes, pops) { reaches[producer][consumer] = true }
    }
    for middle in 0..<count {
      for first in 0..<count where reaches[first][middle] {
        for second in 0..<count where reaches[middle][second] { reaches[first][second] = true }
      }
    }
  }
}
