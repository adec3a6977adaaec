import Testing

@testable import VTA

/// What the published drivers write, from the reference (5.1, 5.2), as text.
struct RegisterMapTests {
  private func lines(_ map: RegisterMap, _ writes: [RegisterMap.Write]) -> [String] {
    writes.map { write in
      let value =
        switch write.value {
        case .constant(let value): "\(value)"
        case .instructionCount: "count"
        case .instructionAddress: "address"
        }
      return "\(write.register.block.rawValue)+0x\(String(write.register.offset, radix: 16)) = \(value)"
    }
  }

  @Test func hls() {
    #expect(
      lines(.hls, RegisterMap.hls.arguments) == [
        "fetch+0x10 = count", "fetch+0x18 = address", "load+0x10 = 0", "load+0x18 = 0", "compute+0x20 = 0",
        "compute+0x28 = 0", "store+0x10 = 0",
      ])
    #expect(
      lines(.hls, RegisterMap.hls.starts) == [
        "fetch+0x0 = 1", "load+0x0 = 129", "compute+0x0 = 129", "store+0x0 = 129",
      ])
    #expect(RegisterMap.hls.done.description == "compute.done")
    #expect(RegisterMap.hls.done.offset == 0x18)
    #expect(RegisterMap.hls.doneValue == 1)
    #expect(RegisterMap.hls.doneValid?.offset == 0x1c)
  }

  @Test func vcr() {
    #expect(
      lines(.vcr, RegisterMap.vcr.arguments + RegisterMap.vcr.starts) == [
        "vcr+0x4 = 0", "vcr+0x8 = count", "vcr+0xc = address", "vcr+0x10 = 0", "vcr+0x14 = 0", "vcr+0x18 = 0",
        "vcr+0x1c = 0", "vcr+0x20 = 0", "vcr+0x0 = 1",
      ])
    #expect(RegisterMap.vcr.done.offset == 0)
    #expect(RegisterMap.vcr.doneValue == 2)
    #expect(RegisterMap.vcr.cycles?.offset == 4)
  }

  @Test(arguments: RegisterMap.all.map(\.name))
  func offsetsAreWordsOfTheirOwn(name: String) throws {
    let map = try #require(RegisterMap.named(name))
    for block in map.blocks {
      let offsets = map.registers.filter { $0.block == block }.map(\.offset)
      #expect(Set(offsets).count == offsets.count)
      #expect(offsets.allSatisfy { $0 % 4 == 0 && $0 >= 0 && $0 + 4 <= map.byteCount(of: block) })
      #expect(map.byteCount(of: block) <= 0x1000)
    }
  }
}
