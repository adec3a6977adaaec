/// All memory that a program stores to: sorted, disjoint byte ranges with a number for each stored OUT element.
/// Memory that nothing stores to can't be the place of a conflict.
struct StoredMemory {
  private struct Piece {
    let bytes: Range<UInt64>
    let firstElement: Int
  }
  private var pieces: [Piece] = []
  let elementBytes: UInt64
  private(set) var elementCount = 0

  /// - Parameter rows: every row of every STORE; starts and lengths are multiples of `elementBytes`.
  init(_ rows: [Range<UInt64>], elementBytes: Int) {
    self.elementBytes = UInt64(elementBytes)
    var merged: [Range<UInt64>] = []
    for row in rows.sorted(by: { ($0.lowerBound, $0.upperBound) < ($1.lowerBound, $1.upperBound) }) {
      if let last = merged.last, row.lowerBound <= last.upperBound {
        merged[merged.count - 1] = last.lowerBound..<max(last.upperBound, row.upperBound)
      } else {
        merged.append(row)
      }
    }
    for bytes in merged {
      pieces.append(Piece(bytes: bytes, firstElement: elementCount))
      elementCount += Int((bytes.upperBound - bytes.lowerBound) / self.elementBytes)
    }
  }

  func overlaps(_ bytes: Range<UInt64>) -> Bool {
    let index = firstPiece(endingAfter: bytes.lowerBound)
    return index < pieces.count && pieces[index].bytes.lowerBound < bytes.upperBound
  }

  /// Stored elements in a row, and the address of the first.
  struct Stretch {
    let elements: Range<Int>
    let address: UInt64
  }

  /// Every stored element that the bytes touch.
  func elements(_ bytes: Range<UInt64>) -> [Stretch] {
    var stretches: [Stretch] = []
    var index = firstPiece(endingAfter: bytes.lowerBound)
    while index < pieces.count, pieces[index].bytes.lowerBound < bytes.upperBound {
      let piece = pieces[index]
      let start = max(bytes.lowerBound, piece.bytes.lowerBound)
      let end = min(bytes.upperBound, piece.bytes.upperBound)
      let first = (start - piece.bytes.lowerBound) / elementBytes
      let past = (end - piece.bytes.lowerBound + elementBytes - 1) / elementBytes
      stretches.append(
        Stretch(
          elements: piece.firstElement + Int(first)..<piece.firstElement + Int(past),
          address: piece.bytes.lowerBound + first * elementBytes))
      index += 1
    }
    return stretches
  }

  private func firstPiece(endingAfter address: UInt64) -> Int {
    var (low, high) = (0, pieces.count)
    while low < high {
      let middle = (low + high) / 2
      if pieces[middle].bytes.upperBound <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
