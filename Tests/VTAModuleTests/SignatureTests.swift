import Crypto
import Foundation
import Testing

@testable import VTAModule

@Suite struct SignatureTests {
  private static func key(_ seed: UInt8) throws -> Curve25519.Signing.PrivateKey {
    try Curve25519.Signing.PrivateKey(rawRepresentation: Data(repeating: seed, count: 32))
  }

  @Test func signedByTwo() throws {
    let file = try ModuleWriter.bytes(of: SampleModule.make())
    #expect(try ModuleSignature.signers(of: file).isEmpty)
    let (first, second) = (try Self.key(1), try Self.key(2))
    let once = try ModuleSignature.signed(file, by: first)
    let twice = try ModuleSignature.signed(ModuleSignature.signed(once, by: second), by: first)
    #expect(try ModuleSignature.signers(of: once) == [Array(first.publicKey.rawRepresentation)])
    #expect(
      try Set(ModuleSignature.signers(of: twice)) == [
        Array(first.publicKey.rawRepresentation), Array(second.publicKey.rawRepresentation),
      ])
    // The module is the same.
    #expect(try ModuleReader.read(twice).module == ModuleReader.read(file).module)
  }

  /// Whatever is changed in a signed file, by somebody who makes the digest right again, the signature goes, or the
  /// file is no module.
  @Test func everyByteCounts() throws {
    let signed = try ModuleSignature.signed(ModuleWriter.bytes(of: SampleModule.make()), by: Self.key(1))
    let sections = try RawSection.all(in: signed)
    for (index, section) in sections.enumerated() {
      for place in stride(from: 0, to: section.bytes.count, by: max(1, section.bytes.count / 50)) {
        var changed = Array(section.bytes)
        changed[place] ^= 1
        var others = sections
        others[index] = RawSection(kind: section.kind, flags: section.flags, bytes: changed[...])
        #expect(
          try ModuleSignature.signers(of: ModuleWriter.file(of: others)).isEmpty,
          "section \(index) at \(place)")
      }
    }
    // A section more, or one less.
    let more = sections + [RawSection(kind: Array("XTRA".utf8), flags: 1, bytes: [1])]
    #expect(try ModuleSignature.signers(of: ModuleWriter.file(of: more)).isEmpty)
    #expect(try ModuleSignature.signers(of: ModuleWriter.file(of: Array(sections.dropFirst()))).isEmpty)
  }

  @Test func malformedSections() throws {
    let sections = try RawSection.all(in: ModuleWriter.bytes(of: SampleModule.make()))
    let sign = Array("SIGN".utf8)
    for bytes in [[UInt8](repeating: 0, count: 95), [UInt8](repeating: 0, count: 96 * 65)] {
      let file = ModuleWriter.file(of: sections + [RawSection(kind: sign, flags: 1, bytes: bytes[...])])
      #expect(throws: ModuleError.self) { try ModuleSignature.signers(of: file) }
    }
    let empty = ModuleWriter.file(of: sections + [RawSection(kind: sign, flags: 1, bytes: [])])
    #expect(try ModuleSignature.signers(of: empty).isEmpty)
  }
}
