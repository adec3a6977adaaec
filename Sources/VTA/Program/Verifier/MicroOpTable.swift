/// Contents of the micro-op buffer at one point of the compute queue, and what ranges of it name.
struct MicroOpTable {
  /// What the micro-ops of a loop nest add to its factors.
  struct Range: Sendable {
    var dst: TileSet
    var src: TileSet
    var wgt: TileSet
    /// Largest `wgt` and `src`; they may exceed the scratchpad that an instruction uses them for.
    var srcMax = 0
    var wgtMax = 0
    var dstMax = 0
    var wgtIsZero: Bool { wgtMax == 0 }
    /// A micro-op that uses an accumulator which one of the two before it writes, as destination.
    var reusedDst: Int?
    /// A micro-op that reads, as `src`, what one of the two before it writes.
    var reusedSrc: Int?
    /// A micro-op that reads, as `src`, what the one before it writes; and the same for `dst`.
    var previousSrc: Int?
    var previousDst: Int?
  }

  enum Missing: Error {
    case neverLoaded(Int)
  }

  private var microOps: [MicroOp?]
  private let configuration: HardwareConfiguration
  private var ranges: [Swift.Range<Int>: Range] = [:]
  private static let rangesMax = 256

  init(depth: Int, configuration: HardwareConfiguration) {
    microOps = Array(repeating: nil, count: depth)
    self.configuration = configuration
  }

  var count: Int { microOps.count }

  mutating func load(_ loaded: [MicroOp], at start: Int) {
    microOps.replaceSubrange(start..<start + loaded.count, with: loaded)
    ranges = ranges.filter { !$0.key.overlaps(start..<start + loaded.count) }
  }

  /// - Precondition: the range is not empty and lies in the buffer.
  mutating func range(_ bounds: Swift.Range<Int>) throws(Missing) -> Range {
    if let known = ranges[bounds] { return known }
    let range = try summarize(bounds)
    if ranges.count >= Self.rangesMax { ranges = [:] }
    ranges[bounds] = range
    return range
  }

  private func summarize(_ bounds: Swift.Range<Int>) throws(Missing) -> Range {
    let (acc, wgt) = (configuration.depth(.acc), configuration.depth(.wgt))
    let srcDepth = max(acc, configuration.depth(.inp))
    var range = Range(dst: TileSet(depth: acc), src: TileSet(depth: srcDepth), wgt: TileSet(depth: wgt))
    var (last, beforeLast) = (-1, -1)
    for index in bounds {
      guard let microOp = microOps[index] else { throw .neverLoaded(index) }
      range.dst.insert(microOp.dst)
      range.src.insert(microOp.src)
      range.wgt.insert(microOp.wgt)
      range.dstMax = max(range.dstMax, microOp.dst)
      range.srcMax = max(range.srcMax, microOp.src)
      range.wgtMax = max(range.wgtMax, microOp.wgt)
      if microOp.dst == last || microOp.dst == beforeLast { range.reusedDst = range.reusedDst ?? index }
      if microOp.src == last || microOp.src == beforeLast { range.reusedSrc = range.reusedSrc ?? index }
      if microOp.src == last { range.previousSrc = range.previousSrc ?? index }
      if microOp.dst == last { range.previousDst = range.previousDst ?? index }
      (beforeLast, last) = (last, microOp.dst)
    }
    return range
  }
}
