import Testing

@testable import VTA

/// Assembler and disassembler of single instructions (Documentation/Assembly.md) as inverse functions.
@Suite struct InstructionTextTests {
  @Test(arguments: GoldenEncoding.all) func goldenEncodingsRoundTrip(_ golden: GoldenEncoding) throws {
    for (revision, words) in golden.words {
      let set = try InstructionSet(configuration: .default, revision: revision)
      let text = Disassembler(set).text(words)
      #expect(text == Self.goldenTexts[golden.testDescription])
      #expect(try InstructionAssembler(set).words(text) == words)
      #expect(Disassembler(set).text(golden.decoded(revision)) == text)
    }
  }

  /// By name of the golden encoding; the same in both revisions.
  private static let goldenTexts = [
    "LOAD INP": "[-n|-n] load.inp sram=0x20 dram=0x12345 y=4 x=6 stride=14 pad=1,0,1,2",
    "LOAD WGT": "[--|-n] load.wgt sram=0x0 dram=0x4080 y=2 x=9 stride=36",
    "LOAD UOP": "[--|--] load.uop sram=0x8 dram=0x3040000 y=1 x=3 stride=3",
    "LOAD ACC": "[-n|--] load.acc sram=0x7f0 dram=0xc001 y=1 x=16 stride=16",
    "LOAD ACC_8BIT": "[--|--] load.acc8 sram=0x0 dram=0x1000 y=1 x=16 stride=16",
    "STORE": "[p-|p-] store.out sram=0x0 dram=0x20000 y=4 x=14 stride=56",
    "GEMM reset": "[--|--] gemm.reset uop=0..<1 iter=4x14 dst=14/1",
    "GEMM": "[p-|p-] gemm uop=8..<11 iter=4x14 dst=14/1 src=16/1 wgt=0/9",
    "ALU SHR 8": "[--|--] alu.shr imm=8 uop=0..<1 iter=1x56 dst=0/1 src=0/1",
    "ALU MAX -128": "[--|--] alu.max imm=-128 uop=0..<1 iter=1x56 dst=0/1 src=0/1",
    "ALU ADD": "[--|-n] alu.add uop=2..<3 iter=2x56 dst=56/1 src=56/1",
    "FINISH": "[--|--] finish",
    "NOP load": "[--|-n] nop.load",
    "NOP compute": "[pn|--] nop.compute",
    "NOP store": "[--|p-] nop.store",
  ]

  /// Legal instructions, and any 128 bits at all: unused fields, holes, codes that do not exist.
  @Test(arguments: ISARevision.allCases) func everythingRoundTrips(_ revision: ISARevision) throws {
    var generator = SeededGenerator(seed: 17)
    for candidate in ConfigurationSweep.all where PackingOracle(candidate, revision).isLegal {
      let set = try InstructionSet(
        configuration: HardwareConfiguration(values: candidate.values), revision: revision)
      let assembler = InstructionAssembler(set)
      let disassembler = Disassembler(set)
      for round in 0..<6 {
        let random = InstructionWords(generator.next(), generator.next())
        let words = round < 3 ? try set.encode(RandomInstruction.any(set, &generator)) : random
        let text = disassembler.text(words, mnemonicWidth: round)
        #expect(try assembler.words(text) == words, "\(text)")
        #expect(disassembler.text(try assembler.words(text), mnemonicWidth: round) == text)
        if let instruction = try? set.decode(words), round < 3 {
          #expect(disassembler.text(instruction) == disassembler.text(words))
        }
      }
      let bits = UInt32(truncatingIfNeeded: generator.next())
      let line = try AssemblyLine(number: 1, ArraySlice(disassembler.text(microOp: bits).utf8))
      #expect(try assembler.microOp(line) == bits)
    }
  }

  /// What TVM's runtime and the random programs for the HLS source really emit.
  @Test(arguments: Vectors.files) func recordedProgramsRoundTrip(_ file: String) throws {
    let run = try RecordedRun(Vectors.bytes(file))
    let set = try InstructionSet(
      configuration: run.target.configuration, revision: run.target.profile.revision)
    let words = try run.memoryBefore().withBytes(
      at: run.instructionAddress, count: run.instructionCount * Limits.instructionBytes,
      InstructionWords.stream)
    for word in words {
      #expect(try InstructionAssembler(set).words(Disassembler(set).text(word)) == word)
    }
  }

  /// Bits behind the flags of FINISH and in the hole of GEMM are kept.
  @Test func bitsWithoutFieldAreKept() throws {
    let set = try InstructionSet(configuration: .default, revision: .b)
    let text = Disassembler(set).text(InstructionWords(0x8003, 1 << 63))
    #expect(text == "[--|--] finish extra=0x8000,0x8000000000000000")
    #expect(Disassembler(set).text(InstructionWords(7, 0)).hasPrefix("words 0x7 0x0 ; opcode 7 is unknown"))
  }

  @Test(arguments: [
    (
      "[--|--] load.inp sram=0x10000 dram=0 y=1 x=1 stride=1",
      "1:23: sram_base of LOAD/STORE is 65536, but must lie in 0…65535; correct the number"
    ),
    (
      "[--|--] gemm uop=0..<8193 iter=1x16384",
      "1:34: iter_in of GEMM is 16384, but must lie in 0…16383; correct the number"
    ),
    (
      "alu.add imm=-32769 uop=0..<1 iter=1x1",
      "1:13: imm of ALU is -32769, but must lie in -32768…32767; correct the number"
    ),
    (
      "load.inp sram=0 dram=0 y=1 x=1",
      "1:1: load.inp lacks stride; add stride=X_STRIDE"
    ),
    (
      "[--|n-] finish",
      "1:1: [--|n-] is no column of dependence flags; write [pn|pn] with - for each flag not set"
    ),
    ("gemm uop=0 iter=1x1", "1:10: uop takes 2 numbers; write uop=UOP_BGN..<UOP_END"),
    ("gemm iter=1x1 iter=1x1", "1:15: iter is given twice; remove one"),
    (
      "gemm iter=1x99999999999999999999",
      "1:13: iter_in of GEMM is no 64-bit number; write it in decimal or after 0x"
    ),
    (
      "alu.add imm=1 unused_imm=1 uop=0..<1 iter=1x1",
      "1:15: unused_imm and imm exclude each other; remove one"
    ),
    ("finish x=1", "1:8: finish has no operand x; known: extra=WORD0,WORD1"),
    (
      "finish extra=0x1,0x0",
      "1:14: extra sets bits that fields of FINISH hold; leave them to the fields"
    ),
    (
      "load.inp sram=0 dram=\"naïve region\"+1x y=1 x=1 stride=1",
      "1:36: +1x is no offset; write REGION+ELEMENTS with a number in 0…4294967295"
    ),
    ("load.inp sram=0 dram=\"open y=1", "1:17: the quote has no end; close it with \""),
    ("[--|--]", "1:8: an instruction is missing behind the flags; add one"),
    (
      "finish ;" + String(repeating: " ", count: 1 << 20),
      "1:1: the line has more than 1048576 bytes; split it"
    ),
    ("words 0x0", "1:7: words takes two numbers of 64 bits and no flags; write words 0x0 0x0"),
  ])
  func mistakesAreNamedWithTheirPlace(_ text: String, _ message: String) throws {
    let set = try InstructionSet(configuration: .default, revision: .b)
    let error = #expect(throws: AssemblyError.self) { try InstructionAssembler(set).words(text) }
    #expect(error?.description == message)
  }

  /// Every field one above and one below what it holds is refused with the range of the table.
  @Test(arguments: ISARevision.allCases) func everyFieldOverflowIsRefused(_ revision: ISARevision) throws {
    let set = try InstructionSet(configuration: .default, revision: revision)
    let assembler = InstructionAssembler(set)
    var checked: Set<FieldName> = []
    for (mnemonic, opcode) in [("load.inp", Opcode.load), ("gemm", .gemm), ("alu.add", .alu)] {
      for row in OperandSyntax.rows(opcode) {
        for (position, fieldName) in row.fields.enumerated() {
          let range = try #require(set.format(opcode).field(fieldName)).range
          for value in [range.lowerBound - 1, range.upperBound + 1] {
            var numbers = row.fields.map { _ in "0" }
            numbers[position] = String(value)
            let text = "\(mnemonic) \(row.key)=\(numbers.joined(separator: row.separator))"
            let error = #expect(throws: AssemblyError.self) { try assembler.words(text) }
            #expect(error?.message.contains("must lie in \(range.lowerBound)…\(range.upperBound)") == true)
            checked.insert(fieldName)
          }
        }
      }
    }
    let fixed: Set<FieldName> = [
      .opcode, .popPrevDep, .popNextDep, .pushPrevDep, .pushNextDep, .memoryType, .aluOpcode, .useImm,
      .dstIdx, .srcIdx, .wgtIdx,
    ]
    #expect(checked.union(fixed) == Set(FieldName.allCases), "every field is in the table")
  }

  /// Hostile text is an error or an instruction, never a trap.
  @Test(arguments: 0..<4) func damagedTextIsAnErrorOrAnInstruction(seed: Int) throws {
    let set = try InstructionSet(configuration: .default, revision: .b)
    let assembler = InstructionAssembler(set)
    var generator = SeededGenerator(seed: UInt64(seed))
    let pieces =
      Array("[]|-pn=:+;\"\\.,x/<0123456789abcdefé \t").map(String.init) + ["0x", "..<", "load.inp", "gemm"]
    for _ in 0..<5000 {
      var text = Array(Disassembler(set).text(try set.encode(RandomInstruction.any(set, &generator)))).map(
        String.init)
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let place = Int.random(in: 0...text.count, using: &generator)
        let piece = pieces.randomElement(using: &generator) ?? ""
        if Bool.random(using: &generator), place < text.count {
          text[place] = piece
        } else {
          text.insert(piece, at: place)
        }
      }
      guard let words = try? assembler.words(text.joined()) else { continue }
      #expect(try assembler.words(Disassembler(set).text(words)) == words)
    }
  }
}
