/// Which strand must wait for which, from the DRAM that they load and store.
///
/// Strands run in their order, each whole. A strand's inputs are loaded when it begins, or earlier by another one that shares them;
/// so for any two accesses of which one is a store, the strands must stand in the order of the accesses.
struct StrandOrder {
  /// Index of the last strand that must have ended; -1: none.
  private(set) var dependencies: [Int32]
  /// Whether all parts of the strand must run on one core: it stores where it also loads.
  private(set) var mustStayWhole: [Bool]
  /// Whether no address is stored twice.
  private(set) var mayFuse: [Bool]

  private let base: UInt64
  private let shift: UInt64
  /// Strand that stored last into each granule, and the last one of those that load it; -1: none.
  private var writers: [Int32]
  private var readers: [Int32]

  private static let granulesMax = 1 << 22

  /// - Returns: `nil` if strands can't keep the order of accesses.
  init?(_ strands: TaskPlanner.Strands, _ planner: TaskPlanner) {
    dependencies = Array(repeating: -1, count: strands.count)
    mustStayWhole = Array(repeating: false, count: strands.count)
    mayFuse = Array(repeating: true, count: strands.count)
    var (low, high) = (UInt64.max, UInt64(0))
    for case .store(let rows, _) in planner.operations {
      low = min(low, rows.address)
      high = max(high, rows.address + UInt64(rows.byteCount))
    }
    low = min(low, high)
    var shift = UInt64(planner.target.configuration.elementBytes(.out).trailingZeroBitCount)
    while (high - low) >> shift >= Self.granulesMax { shift += 1 }
    (base, self.shift) = (low, shift)
    writers = Array(repeating: -1, count: Int((high - low) >> shift) + 1)
    readers = writers
    // First and last strand that reads each group of inputs.
    var users = [ClosedRange<Int32>?](repeating: nil, count: strands.groups.count)
    for (index, strand) in strands.enumerated() {
      for group in strand.groups {
        users[group] = (users[group]?.lowerBound ?? Int32(index))...Int32(index)
      }
    }
    var groupOfPiece: [Int: Int] = [:]
    for (index, group) in strands.groups.enumerated() {
      for piece in group.pieces { groupOfPiece[piece] = index }
    }
    var waits = [Int32](repeating: -1, count: strands.groups.count)
    for (index, operation) in planner.operations.enumerated() {
      switch operation {
      case .loadInp(let rows, _):
        guard let group = groupOfPiece[index], let users = users[group] else { continue }
        guard let writer = read(rows, users) else { return nil }
        waits[group] = max(waits[group], writer)
      case .loadAcc(let rows, _), .loadAcc8bit(let rows, _):
        let strand = strands.strandOfOperation[index]
        // Constants belong to no strand.
        if strand < 0 { continue }
        guard let writer = read(rows, strand...strand) else { return nil }
        wait(strand, for: writer)
      case .store(let rows, _):
        guard write(rows, strands.strandOfOperation[index]) else { return nil }
      default: continue
      }
    }
    for (index, strand) in strands.enumerated() {
      for group in strand.groups { wait(Int32(index), for: waits[group]) }
    }
    (writers, readers) = ([], [])
  }

  private mutating func wait(_ strand: Int32, for other: Int32) {
    dependencies[Int(strand)] = max(dependencies[Int(strand)], other)
  }

  /// Granules of one row, as far as any are stored to.
  private func granules(_ rows: FastOperation.Rows, _ row: Int) -> Range<Int> {
    let first = rows.address + UInt64(row * rows.strideBytes)
    let end = first + UInt64(rows.rowBytes)
    let stored = base + UInt64(writers.count) << shift
    guard end > base, first < stored else { return 0..<0 }
    return Int((max(first, base) - base) >> shift)..<Int((min(end, stored) - base - 1) >> shift) + 1
  }

  /// - Returns: the last strand that stored there, -1 for none; `nil` if that is no strand before all readers.
  private mutating func read(_ rows: FastOperation.Rows, _ users: ClosedRange<Int32>) -> Int32? {
    var last: Int32 = -1
    for row in 0..<rows.count {
      for granule in granules(rows, row) {
        last = max(last, writers[granule])
        readers[granule] = max(readers[granule], users.upperBound)
      }
    }
    return last < users.lowerBound ? last : nil
  }

  private mutating func write(_ rows: FastOperation.Rows, _ strand: Int32) -> Bool {
    for row in 0..<rows.count {
      for granule in granules(rows, row) {
        let (reader, writer) = (readers[granule], writers[granule])
        if reader > strand || writer > strand { return false }
        if reader == strand {
          mustStayWhole[Int(strand)] = true
          // Who else has read there isn't known any more.
          wait(strand, for: strand - 1)
        }
        if writer == strand { mayFuse[Int(strand)] = false }
        if reader < strand { wait(strand, for: reader) }
        if writer < strand { wait(strand, for: writer) }
        writers[granule] = strand
      }
    }
    return true
  }
}
