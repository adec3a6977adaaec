import Testing

@testable import VTA

/// Sections 1.2, 1.6 and 2.2 of reference/vta-hardware.md: where fields lie, and which configurations exist at all.
@Suite struct PackingRuleTests {
  @Test func derivedQuantitiesOfTheReferenceTable() throws {
    let wide = try HardwareConfiguration(batch: 2, block: 3, buffers: (15, 16, 16, 18))
    #expect(wide.name == "4x8_i8w8a32_15_16_16_18")
    #expect(HardwareConfiguration.default.name == "1x16_i8w8a32_15_15_18_17")
    for (configuration, bytes, wgtDepth) in [
      (HardwareConfiguration.default, [16, 256, 64, 16], 10), (wide, [32, 64, 128, 32], 10),
    ] {
      #expect([MemoryType.inp, .wgt, .acc, .out].map(configuration.elementBytes) == bytes)
      #expect(configuration.elementBytes(.acc8bit) == bytes[2] / 4)
      #expect(configuration.logUopDepth == 13)
      #expect(configuration.logInpDepth == 11)
      #expect(configuration.logWgtDepth == wgtDepth)
      #expect(configuration.logAccDepth == 11)
      #expect(configuration.depth(.out) == 2048)
    }
  }

  /// With a small UD the factors begin in word 0, and everything in word 1 moves down by 11 (section 2.2).
  @Test func smallMicroOpBufferMovesTheFactors() throws {
    let small = try HardwareConfiguration(batch: 0, block: 4, buffers: (10, 15, 18, 17))
    #expect(small.logUopDepth == 8)
    for revision in ISARevision.allCases {
      let usual = try InstructionSet(configuration: .default, revision: revision)
      let moved = try InstructionSet(configuration: small, revision: revision)
      for (usual, moved) in [(usual.gemm, moved.gemm), (usual.alu, moved.alu)] {
        let factor = try #require(moved.field(.dstFactorOut))
        #expect((factor.word, factor.bit, factor.width) == (0, 53, 11))
        for field in usual.fields where field.word == 1 && field.name != .dstFactorOut {
          let other = try #require(moved.field(field.name))
          #expect((other.word, other.bit) == (1, field.bit - 11))
        }
      }
    }
  }

  /// Section 1.6, each with the sentence that refuses it.
  @Test(arguments: [
    // 33 bits of micro-op and 66 of GEMM factors; the first format that breaks is named.
    Refusal(
      .b, wgtWidth: 2, buffers: (15, 15, 18, 17),
      "the field wgt_factor_in of GEMM does not fit into 2 × 64 bits; make a scratchpad smaller"),
    // UD = 14.
    Refusal(
      .b, buffers: (16, 15, 18, 17),
      "the field wgt_factor_out of GEMM does not fit into 2 × 64 bits; make a scratchpad smaller"),
    // AD = 12 with few weights: micro-op and GEMM fit, the ALU's immediate does not.
    Refusal(
      .b, buffers: (15, 15, 16, 18),
      "the field imm of ALU does not fit into 2 × 64 bits; make a scratchpad smaller"),
    // Small micro-op buffer: the factors fit into the rest of word 0, the micro-op has 34 bits.
    Refusal(
      .b, buffers: (10, 15, 20, 17),
      "the field wgt_idx of micro-op does not fit into 1 × 32 bits; make a scratchpad smaller"),
    Refusal(
      .b, buffers: (15, 22, 18, 17),
      "LOG_INP_BUFF_SIZE makes inp 2^18 elements deep, but sram_base addresses at most 2^16; make it smaller"),
    Refusal(
      .b, buffers: (15, 15, 8, 17),
      "LOG_WGT_BUFF_SIZE leaves room for less than two elements of wgt (256 bytes each); make it larger"),
    Refusal(
      .b, block: 7, buffers: (15, 15, 18, 17),
      "an element of wgt has 16384 bytes, but must have 1…4096; change LOG_BATCH, LOG_BLOCK or its width"),
  ])
  func impossibleConfigurationsAreRefused(_ refusal: Refusal) {
    let error = #expect(throws: ConfigurationError.self) {
      let configuration = try HardwareConfiguration(
        batch: 0, block: refusal.block, wgtWidth: refusal.wgtWidth, buffers: refusal.buffers)
      _ = try InstructionSet(configuration: configuration, revision: refusal.revision)
    }
    #expect(error?.description == refusal.sentence)
  }

  struct Refusal: Sendable, CustomTestStringConvertible {
    let revision: ISARevision
    let block: Int
    let wgtWidth: Int
    let buffers: (Int, Int, Int, Int)
    let sentence: String

    init(
      _ revision: ISARevision, block: Int = 4, wgtWidth: Int = 3, buffers: (Int, Int, Int, Int),
      _ sentence: String
    ) {
      self.revision = revision
      self.block = block
      self.wgtWidth = wgtWidth
      self.buffers = buffers
      self.sentence = sentence
    }

    var testDescription: String { "\(buffers) w\(wgtWidth) block \(block)" }
  }

  /// One revision can encode what the other cannot: ALU source factors are narrower in A.
  @Test func aTargetIsRefusedIfItsRevisionCannotEncode() throws {
    let configuration = try HardwareConfiguration(batch: 0, block: 4, buffers: (15, 14, 16, 18))
    #expect((configuration.logInpDepth, configuration.logAccDepth) == (10, 12))
    _ = try InstructionSet(configuration: configuration, revision: .a)
    #expect(throws: ConfigurationError.fieldDoesNotFit(format: "ALU", field: "imm", words: 2, wordBits: 64)) {
      try Target(name: "board", configuration: configuration, profile: .fsim)
    }
  }

  /// Every configuration of the sweep that the packing rule admits round-trips, all others are refused.
  @Test(arguments: ISARevision.allCases) func sweep(_ revision: ISARevision) throws {
    var generator = SeededGenerator(seed: 16)
    var legal = 0
    var illegal = 0
    for candidate in ConfigurationSweep.all {
      let oracle = PackingOracle(candidate, revision)
      let configuration = try? HardwareConfiguration(values: candidate.values)
      let set = configuration.flatMap { try? InstructionSet(configuration: $0, revision: revision) }
      guard oracle.isLegal else {
        illegal += 1
        #expect(set == nil, "\(candidate.values) must be refused")
        continue
      }
      legal += 1
      let instructions = try #require(set, "\(candidate.values) is legal")
      for _ in 0..<4 {
        let instruction = RandomInstruction.any(instructions, &generator)
        let words = try instructions.encode(instruction)
        #expect(oracle.words(of: instruction) == [words.word0, words.word1])
        #expect(try instructions.decode(words) == instruction)
      }
      let microOp = RandomInstruction.microOp(instructions, &generator)
      let bits = try instructions.encode(microOp)
      #expect(oracle.words(of: microOp) == [UInt64(bits)])
      #expect(instructions.decode(microOp: bits) == microOp)
    }
    #expect(legal > 500 && illegal > 500, "\(legal) legal, \(illegal) illegal")
  }
}

extension HardwareConfiguration {
  init(
    batch: Int, block: Int, inpWidth: Int = 3, wgtWidth: Int = 3,
    buffers: (uop: Int, inp: Int, wgt: Int, acc: Int)
  ) throws(ConfigurationError) {
    try self.init(
      values: ConfigurationSweep.Candidate(
        batch: batch, block: block, inpWidth: inpWidth, wgtWidth: wgtWidth, buffers: buffers
      ).values)
  }
}
