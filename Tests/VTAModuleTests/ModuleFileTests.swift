import Crypto
import Testing
import VTA

@testable import VTAModule

@Suite struct ModuleFileTests {
  @Test func readsWhatItWrites() throws {
    for target in Target.named {
      let module = try SampleModule.make(target: target)
      let bytes = try ModuleWriter.bytes(of: module)
      let file = try ModuleReader.read(bytes)
      #expect(file.module == module)
      #expect(file.byteCount == bytes.count)
      #expect(try ModuleWriter.bytes(of: module) == bytes)
    }
  }

  /// The layout that Documentation/ModuleFormat.md promises, read here without the reader's help.
  @Test func layoutIsAsDocumented() throws {
    let bytes = try ModuleWriter.bytes(of: try SampleModule.make())
    #expect(bytes[..<8].elementsEqual([0x89, 0x56, 0x54, 0x41, 0x42, 0x0d, 0x0a, 0x1a]))
    #expect(number(bytes, 8, 4) == 1)
    #expect(number(bytes, 12, 4) == 4)
    #expect(number(bytes, 16, 8) == bytes.count)
    #expect(Array(bytes[32..<64]) == Array(SHA256.hash(data: bytes[64...])))
    let names = (0..<4).map { String(decoding: bytes[(64 + $0 * 32)..<(68 + $0 * 32)], as: UTF8.self) }
    #expect(names == ["MANI", "CNST", "INST", "UOPS"])
    let constants = (number(bytes, 96 + 8, 8), number(bytes, 96 + 16, 8))
    #expect(constants.0 % 4096 == 0)
    #expect(constants.1 == 8192 + 3, "the second region starts on a page")
    #expect(bytes[constants.0 + 8192] == 1)
  }

  @Test func everyTruncationIsAnError() throws {
    let bytes = try ModuleWriter.bytes(of: try SampleModule.make())
    for count in 0..<bytes.count {
      #expect(throws: ModuleError.self) { try ModuleReader.read(Array(bytes[..<count])) }
      // The same with a header that fits the shorter file.
      guard count >= 64, count < 1024 || count % 61 == 0 else { continue }
      #expect(throws: ModuleError.self) { try ModuleReader.read(signed(Array(bytes[..<count]))) }
    }
  }

  @Test(arguments: 0..<8) func damageIsAnErrorOrHarmless(seed: Int) throws {
    let module = try SampleModule.make()
    let bytes = try ModuleWriter.bytes(of: module)
    // Header, table and manifest are where it hurts; the rest is bulk.
    let manifestEnd = number(bytes, 64 + 8, 8) + number(bytes, 64 + 16, 8)
    var generator = SeededGenerator(seed: UInt64(seed))
    for round in 0..<4000 {
      var damaged = bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        let end = round % 4 == 0 ? bytes.count : manifestEnd
        var place = Int.random(in: 0..<end, using: &generator)
        if place >= 192, place < 4096, round % 4 != 0 { place = place % 192 }
        damaged[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      }
      if let file = try readOrModuleError(damaged) { #expect(file.module == module) }
      // With a digest that fits, the damage reaches everything behind it; what is read must be a legal module.
      if let file = try readOrModuleError(signed(damaged)) { try ModuleCheck.check(file.module) }
    }
  }

  @Test func unknownSectionsAreSkippedOnlyIfOptional() throws {
    let module = try SampleModule.make()
    let optional = try withSection("XTRA", flags: 1, of: module)
    #expect(try ModuleReader.read(optional).module == module)
    let required = try withSection("XTRA", flags: 0, of: module)
    #expect(throws: ModuleError.self) { try ModuleReader.read(required) }
  }

  /// A manifest of many empty entries would take hundreds of times its size in memory.
  @Test func manyEmptyEntriesAreRefusedBeforeDecoding() throws {
    let flood = [UInt8]((0..<(1 << 18)).flatMap { _ in [UInt8(10 << 3 | 2), 0] })
    #expect(throws: ModuleError.self) { try ManifestScan.check(flood[...]) }
    let target =
      [UInt8](repeating: 3 << 3 | 2, count: 1) + [0x80, 0x08] + (0..<512).flatMap { _ in [UInt8(0x1a), 0] }
    #expect(throws: ModuleError.self) { try ManifestScan.check(target[...]) }
  }

  /// What is written can be read.
  @Test func tooManyEntriesAreRefusedBeforeWriting() throws {
    var module = try SampleModule.make()
    module.layers = Array(repeating: module.layers[1], count: (1 << 16) + 1)
    #expect(throws: ModuleError.self) { try ModuleWriter.bytes(of: module) }
  }

  // MARK: Helpers

  private func readOrModuleError(_ bytes: [UInt8]) throws -> ModuleFile? {
    do {
      return try ModuleReader.read(bytes)
    } catch {
      #expect(!error.description.isEmpty)
      return nil
    }
  }

  /// Length and digest of the header made right.
  private func signed(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= 64 else { return bytes }
    var bytes = bytes
    for index in 0..<8 { bytes[16 + index] = UInt8(truncatingIfNeeded: bytes.count >> (8 * index)) }
    bytes.replaceSubrange(32..<64, with: Array(SHA256.hash(data: bytes[64...])))
    return bytes
  }

  private func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int {
    (0..<count).reduce(0) { $0 | Int(bytes[offset + $1]) << (8 * $1) }
  }

  /// The module's file with one more section behind the others; the table has room before the first page.
  private func withSection(_ kind: String, flags: UInt8, of module: Module) throws -> [UInt8] {
    var bytes = try ModuleWriter.bytes(of: module)
    let offset = (bytes.count + 4095) / 4096 * 4096
    bytes += [UInt8](repeating: 0, count: offset - bytes.count) + [42]
    var entry = Array(kind.utf8) + [flags, 0, 0, 0]
    for value in [offset, 1, 0] { entry += (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
    bytes.replaceSubrange(192..<224, with: entry)
    bytes[12] = 5
    return signed(bytes)
  }
}
