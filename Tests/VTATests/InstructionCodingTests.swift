import Testing

@testable import VTA

@Suite struct InstructionCodingTests {
  /// Worked encodings of reference/vta-hardware.md, section 10: produced by VTA's own header, not by us.
  @Test func finishIsTheOpcodeAlone() throws {
    let set = try InstructionSet(configuration: .default, revision: .b)
    #expect(try set.encode(Instruction(.finish)) == InstructionWords(3, 0))
  }
}
