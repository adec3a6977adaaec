import Testing
import VTA

@testable import VTAModule

/// Text of whole modules (Documentation/Assembly.md).
@Suite struct AssemblerTests {
  @Test func everyModuleRoundTrips() throws {
    var odd = try SampleModule.make()
    odd.name = "a \"b\" \\ c; é\u{301}\"\u{301}"
    odd.regions[1].name = odd.regions[0].name + " and 1"
    odd.regions[2].role = .constant([0, 0, 0])
    odd.regions[3] = Region(
      name: "micro-ops", role: .microOps([4, 0, 0, 0, 255, 255, 255, 255, 1, 2]), byteCount: 10)
    odd.layers[0].op = ""
    odd.labels = ["", "12"]
    let wide = try Target(
      name: "my board", configuration: HardwareConfiguration(name: "4x8_i8w8a32_15_16_16_18"),
      profile: .hls001)
    var modules = try Target.named.map { try SampleModule.make(target: $0) } + [odd]
    modules.append(try SampleModule.make(target: wide))
    for profile in HardwareProfile.all {
      modules.append(
        try SampleModule.make(target: Target(name: "board", configuration: .default, profile: profile)))
    }
    for module in modules {
      let text = try AssemblyWriter.text(module)
      let assembled = try Assembler.module(from: text)
      #expect(assembled == module)
      #expect(try AssemblyWriter.text(assembled) == text)
    }
  }

  /// Two regions of one name cannot be told apart in text; the program stays the same.
  @Test func regionsGetNamesOfTheirOwn() throws {
    var module = try SampleModule.make()
    module.regions[2].name = module.regions[1].name
    module.regions[3].name = ""
    let assembled = try Assembler.module(from: AssemblyWriter.text(module))
    #expect(assembled.programs == module.programs)
    #expect(assembled.regions.map(\.role) == module.regions.map(\.role))
    #expect(Set(assembled.regions.map(\.name)).count == 4)
  }

  /// Whatever bits a program holds: undefined instructions, unused fields, micro-ops loaded from anywhere.
  @Test(arguments: 0..<20) func randomProgramsRoundTrip(seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    var module = try SampleModule.make(target: Target.named[seed % Target.named.count])
    let set = try InstructionSet(
      configuration: module.target.configuration, revision: module.target.profile.revision)
    let kernels = (0..<64).map { _ in UInt8.random(in: 0...255, using: &generator) }
    module.regions[3] = Region(name: "kernels", role: .microOps(kernels), byteCount: 64)
    var stream: [UInt8] = []
    var relocations: [Relocation] = []
    for index in 0..<200 {
      var words = InstructionWords(generator.next(), generator.next())
      let region = Int.random(in: 0..<4, using: &generator)
      let field = try #require(set.transfer.field(.dramBase))
      let mask = ((UInt64(1) << UInt64(field.width)) - 1) << UInt64(field.bit)
      let cleared = InstructionWords(words.word0 & ~mask, words.word1)
      if case .load(let transfer) = try? set.decode(cleared).operation {
        let element = UInt64(module.target.configuration.elementBytes(transfer.memory))
        let count = (module.regions[region].byteCount + element - 1) / element
        words = cleared
        relocations.append(
          Relocation(
            instruction: index, region: region,
            byteOffset: UInt64.random(in: 0..<count, using: &generator) * element))
      }
      words.append(to: &stream)
    }
    module.programs[0] = DeviceProgram(instructions: stream, relocations: relocations)
    #expect(relocations.count > 5)
    #expect(try Assembler.module(from: AssemblyWriter.text(module)) == module)
  }

  @Test func omittedContentsComeFromElsewhere() throws {
    let module = try SampleModule.make()
    let text = Array(try AssemblyWriter.text(module, omitsConstants: true).utf8)
    #expect(throws: AssemblyError.self) { try Assembler.module(from: text) }
    let assembled = try Assembler.module(from: text) { name, _ in
      guard case .constant(let bytes) = module.regions.first(where: { $0.name == name })?.role else {
        return nil
      }
      return bytes
    }
    #expect(assembled == module)
  }

  private static let head = """
    .module m
    .target sim
    .region x input 3x2x2 scale=0.5
    .region y output 2x1x1 scale=0.25

    """

  /// Roles, contents, micro-kernels: what the shorthands of hand-written text stand for.
  @Test func shorthands() throws {
    let module = try Assembler.module(
      from: Self.head + """
        .region w constant
          .int8 -1 127 0x7f
          .hex 0A0b ff
          .zeros 2
          .int32 -2
          .affine int8 4 126 1
          .affine int32 2 0 -1
          .random int8 3 16 -8 7
        .region k micro-ops 16
          0 0 0
          .kernel second
          3 5 7
          0xFFE007FF
          .hex 00000000
        .program
          load.uop sram=0 dram=k:second+1 y=1 x=1 stride=1
          [--|--] load.inp sram=0 dram=x+3 y=1 x=1 stride=1  ; the last pixel
          finish
        """)
    let fill: [UInt8] = [255, 127, 127, 10, 11, 255, 0, 0, 254, 255, 255, 255, 126, 127, 128, 129]
    let rest: [UInt8] = [0, 0, 0, 0, 255, 255, 255, 255]
    var generator = SeededGenerator(seed: 16)
    let random = (0..<3).map { _ in UInt8(bitPattern: Int8(-8 + Int(generator.next() % 16))) }
    #expect(module.regions[2].role == .constant(fill + rest + random))
    let kernel: [UInt8] = [0, 0, 0, 0, 3, 0x28, 0xC0, 1, 0xFF, 7, 0xE0, 0xFF, 0, 0, 0, 0]
    #expect(module.regions[3].role == .microOps(kernel))
    #expect(
      module.programs[0].relocations == [
        Relocation(instruction: 0, region: 3, byteOffset: 8),
        Relocation(instruction: 1, region: 0, byteOffset: 48),
      ])
    #expect(module.regions[0] == Region(name: "x", role: .workspace, byteCount: 64))
    #expect(module.inputs == [ModelTensor(name: "x", dataType: .fp32, shape: [1, 3, 2, 2])])
    #expect(
      module.steps == [
        .quantize(input: "x", output: 0), .program(0),
        .dequantize(input: 1, output: "y", shape: [1, 2, 1, 1]),
      ])
    #expect(try Assembler.module(from: AssemblyWriter.text(module)) == module)
  }

  @Test(arguments: [
    (".modul m", "5:1: .modul is unknown; known: .module"),
    (".module n", "5:1: .module comes twice; remove one"),
    ("finish", "5:1: an instruction must follow .program, a micro-op a micro-ops .region; add one before"),
    (".region x workspace 1", "5:9: x is no name, or another region has it; choose a new name"),
    (
      ".region a temporary 1",
      "5:11: temporary is no role; known: constant, micro-ops, workspace, input, output"
    ),
    (".region a workspace 0", "5:21: the size in bytes must be a number in 1…4294967296; correct 0"),
    (".region a workspace 1 2", "5:23: 2 is too much; write .region NAME"),
    (".region a workspace", "5:20: the size in bytes is missing; write .region NAME"),
    (".region a input 3x2 scale=1", "5:17: the tensor must have three extents; write CHANNELSxHEIGHTxWIDTH"),
    (".region a input 65536x65536x1 scale=1", "5:17: the tensor has more than 67108864 elements"),
    (".region a input 3x2x2 scale=0", "5:1: scale must be one positive number; correct it"),
    (".region a input 3x2x2 scale=nan", "5:29: nan is no finite number; correct it"),
    (
      ".region a constant 3\n.hex 0102\n.program",
      "7:1: the region a before this line has 2 bytes of contents, but"
    ),
    (".region a constant\n.program", "6:1: the region a before this line has 0 bytes of contents, but needs"),
    (".region a constant\n.hex 012", "6:6: 012 ends inside a byte; write two digits per byte"),
    (".region a constant\n.int8 128", "6:7: a value must be a number in -128…127; correct 128"),
    (".region a constant\n.zeros 4000000000", "6:1: all contents together take too many bytes for one text"),
    (".region a constant\n.random int32 2000000000 1 0 1", "6:1: all contents together take too many bytes"),
    (
      ".region a constant\n0 0 0",
      "6:1: constants come behind .hex, .int8, .int32, .zeros, .affine or .random"
    ),
    (
      ".region a constant\n.kernel k",
      "6:9: a micro-kernel must start at a whole micro-op of a micro-ops region"
    ),
    (".region a micro-ops\n0 0", "6:1: a micro-op is three numbers; write DST SRC WGT"),
    (
      ".region a micro-ops\n0 0 1024",
      "6:5: wgt_idx of micro-op is 1024, but must lie in 0…1023; correct the number"
    ),
    (".zeros 1", "5:1: .zeros must follow a constant or micro-ops .region; move it"),
    (
      ".program\nload.inp sram=0 dram=z y=1 x=1 stride=1",
      "6:22: no region before this line has the name z; known: x, y"
    ),
    (
      ".program\nload.inp sram=0 dram=x:k y=1 x=1 stride=1",
      "6:22: no micro-kernel of x before this line has the name k; known: none"
    ),
    (
      ".program\nload.inp sram=0 dram=x+4 y=1 x=1 stride=1",
      "6:22: element 4 of inp begins at byte 64, but the region x has 64; correct the offset"
    ),
    (".step quantize x z", "5:18: no tensor before this line has the name z; known: x, y"),
    (".step quantize z x", "5:1: step 0: it reads z, which no step before it makes; correct it"),
    (".step run 3", "5:1: step 0: program 3 doesn't exist; correct it"),
    (
      ".tensor t x+1 3x2x2 scale=1",
      "5:1: device tensor 2 (t): its 64 bytes at 16 are not aligned or lie outside"
    ),
    (
      ".program\nfinish\n.label a\n.label b\n.label c",
      "9:1: labels: there are 3, but no single output with as many values"
    ),
    ("\t.label \u{1}", "5:9: a control character; remove it"),
  ])
  func mistakesAreNamedWithTheirPlace(_ text: String, _ start: String) {
    let error = #expect(throws: AssemblyError.self) { try Assembler.module(from: Self.head + text) }
    let description = error?.description ?? ""
    #expect(description.hasPrefix(start), "\(description)")
    #expect(description.contains("; "), "says what to do")
  }

  @Test func textWithoutTargetOrNameIsRefused() {
    #expect(
      throws: AssemblyError(
        line: 1, column: 1,
        message: "the text names no target; add .target NAME, or .target NAME CONFIGURATION PROFILE")
    ) { try Assembler.module(from: "") }
    #expect(throws: AssemblyError.self) { try Assembler.module(from: ".target sim\n") }
    #expect(throws: AssemblyError.self) { try Assembler.module(from: ".region x workspace 1") }
    let refused = #expect(throws: AssemblyError.self) {
      try Assembler.module(from: ".target b 1x16_i8w4a32_15_15_18_17 hls-002")
    }
    #expect(refused?.description.hasPrefix("1:11: the field wgt_factor_in of GEMM does not fit") == true)
  }

  /// Hostile text is an error or a module, never a trap; what it may ask for is bounded.
  @Test(arguments: 0..<8) func damagedTextIsAnErrorOrAModule(seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    let text = Array(try AssemblyWriter.text(SampleModule.make()).utf8)
    let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for _ in 0..<500 {
      var damaged: [UInt8] = []
      for line in lines where Int.random(in: 0..<30, using: &generator) != 0 {
        damaged += line
        if Int.random(in: 0..<30, using: &generator) == 0, let other = lines.randomElement(using: &generator)
        {
          damaged += [UInt8(ascii: "\n")] + other
        }
        damaged.append(UInt8(ascii: "\n"))
      }
      for _ in 0..<Int.random(in: 0...3, using: &generator) where !damaged.isEmpty {
        damaged[Int.random(in: 0..<damaged.count, using: &generator)] =
          Array("09-x.[]\"\\ ;=:+,\n\u{ff}".utf8).randomElement(using: &generator) ?? 0
      }
      guard let module = try? Assembler.module(from: damaged, contentBytesMax: 1 << 20) else { continue }
      #expect(try Assembler.module(from: AssemblyWriter.text(module)) == module)
    }
  }
}
