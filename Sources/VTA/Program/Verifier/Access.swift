/// One way in which an instruction touches a memory, in the order in which it happens.
enum Access {
  case scratchpad(MemoryType, Elements, Kind)
  /// Rows of DRAM, in bytes.
  case memory(Rows, isWrite: Bool)

  enum Kind {
    case read
    case write
    /// OUT after a GEMM reset on hardware that leaves old accumulator + dot product there.
    case garbage
  }

  enum Elements {
    case range(Range<Int>)
    case set(TileSet)

    @inline(__always)
    func forEach(_ body: (Int) -> Void) {
      switch self {
      case .range(let range): for element in range { body(element) }
      case .set(let set): set.forEach(body)
      }
    }
  }

  struct Rows {
    let first: UInt64
    let byteCount: UInt64
    let stride: UInt64
    let count: Int

    func row(_ index: Int) -> Range<UInt64> {
      let start = first + UInt64(index) * stride
      return start..<start + byteCount
    }
  }
}
