import Testing
import VTACampaign

/// A short slice of `make fuzz`, the same in every run.
@Suite struct FuzzTests {
  @Test(arguments: FuzzedDecoder.all.map(\.name))
  func decoderTakesDamagedSeeds(_ name: String) throws {
    let decoder = try #require(FuzzedDecoder.named(name))
    let seeds = try SeedFiles.read(name)
    try #require(!seeds.isEmpty)
    var mutator = ByteMutator(seed: 1)
    for (index, seed) in seeds.enumerated() {
      #expect(decoder.feed(seed.bytes) == nil, "\(seed.name)")
      for round in 0..<(2000 / seeds.count) {
        let input = mutator.mutated(seed.bytes, other: seeds[(index + round) % seeds.count].bytes)
        let flaw = decoder.feed(input)
        #expect(flaw == nil, "\(seed.name), round \(round)")
      }
    }
  }
}
