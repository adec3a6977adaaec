import Testing

@testable import VTA

/// The fast simulator against the recordings and, on random programs, against the plain one: every byte, every kernel.
@Suite struct FastSimulatorTests {
  @Test(arguments: KernelSet.available.map(\.name))
  func everyKernelReproducesTheRecordings(_ name: String) throws {
    let kernels = try #require(KernelSet.named(name))
    var translated = 0
    for file in Vectors.files {
      let run = try RecordedRun(Vectors.bytes(file))
      guard let program = try run.translation(kernels: kernels) else { continue }
      translated += 1
      let memory = try run.memoryBefore()
      let simulator = try #require(FastSimulator(target: run.target, kernels: kernels))
      try simulator.run(program, memory: memory)
      let difference = try run.firstDifference(memory)
      #expect(difference == nil, "\(file) differs at 0x\(String(difference ?? 0, radix: 16))")
    }
    #expect(translated == Vectors.files.count)
  }

  @Test(arguments: HardwareProfile.all)
  func equalsThePlainSimulator(_ profile: HardwareProfile) throws {
    var compared = 0
    for seed in 0..<600 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let program = try RandomProgram.make(profile, &random, isRich: true)
      let expected = try? program.run()
      for kernels in KernelSet.available {
        guard let found = try program.runFast(kernels) else { continue }
        compared += 1
        #expect(found == expected, "\(kernels.name), seed \(seed)")
      }
    }
    #expect(compared > 300 * KernelSet.available.count, "\(compared)")
  }

  /// Where resets read inputs and weights, places beyond the scratchpads are errors, which the plain simulator reports.
  @Test(arguments: HardwareProfile.all)
  func faultsOfResetsAreThePlainSimulators(_ profile: HardwareProfile) throws {
    let beyondInputs = LoopNest(uopBegin: 0, uopEnd: 1, iterIn: 3, srcFactorIn: 1024)
    let within = LoopNest(uopBegin: 0, uopEnd: 1, iterIn: 2, srcFactorIn: 1024)
    for (loops, wgtFactor) in [(beyondInputs, 0), (within, 0), (within, 1023), (beyondInputs, 1023)] {
      for extent in [loops.iterIn, 3] {
        var program = try TestProgram(profile)
        program.microOps = [MicroOp(dst: 0, src: 0)]
        var loops = loops
        loops.iterIn = extent
        program.instructions = [
          .load(.uop, sram: 0, dram: UInt32(TestProgram.microOps / 4), x: 1),
          Instruction(.gemm(Gemm(reset: true, loops: loops, wgtFactorIn: wgtFactor))), Instruction(.finish),
        ]
        let expected = try? program.run()
        for kernels in KernelSet.available {
          let found = try program.runFast(kernels)
          #expect(found == expected, "\(kernels.name), \(extent), \(wgtFactor)")
        }
      }
    }
  }
}

extension TestProgram {
  /// The data region after a run on the fast simulator; `nil` where that leaves the program to the plain one.
  fileprivate func runFast(_ kernels: KernelSet) throws -> [UInt8]? {
    let memory = try memory()
    let data = Self.data..<Self.data + UInt64(Self.dataByteCount)
    let translated = ProgramTranslator.translate(
      instructionAddress: Self.stream, count: instructions.count, target: target, memory: memory,
      kernels: kernels, isConstant: { !$0.overlaps(data) })
    guard let translated, let simulator = FastSimulator(target: target, kernels: kernels) else { return nil }
    try simulator.run(translated, memory: memory)
    return try memory.withBytes(at: Self.data, count: Self.dataByteCount) { Array($0) }
  }
}
