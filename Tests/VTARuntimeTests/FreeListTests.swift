import Testing
import VTA

@testable import VTARuntime

@Suite struct FreeListTests {
  /// Against a list of pages, over random requests.
  @Test(arguments: 1...8) func agreesWithAMapOfPages(seed: UInt64) {
    let page = Limits.regionAlignment
    let count = 64
    var list = FreeList(byteCount: UInt64(count) * page + 5)
    var isFree = [Bool](repeating: true, count: count)
    var taken: [Range<Int>] = []
    var random = SeededGenerator(seed: seed)
    for _ in 0..<2000 {
      if Bool.random(using: &random), let index = taken.indices.randomElement(using: &random) {
        let range = taken.remove(at: index)
        list.give(UInt64(range.lowerBound) * page..<UInt64(range.upperBound) * page)
        for index in range { isFree[index] = true }
      } else {
        let size = Int.random(in: 1...12, using: &random)
        let first = (0...count - size).first { start in isFree[start..<start + size].allSatisfy { $0 } }
        let offset = list.take(UInt64(size) * page)
        #expect(offset == first.map { UInt64($0) * page })
        guard let first else { continue }
        taken.append(first..<first + size)
        for index in first..<first + size { isFree[index] = false }
      }
      #expect(list.freeBytes == UInt64(isFree.count { $0 }) * page)
    }
    for range in taken { list.give(UInt64(range.lowerBound) * page..<UInt64(range.upperBound) * page) }
    #expect(list.largestFree == list.byteCount, "neighbours that are free are one")
  }
}
