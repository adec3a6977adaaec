/// Who touched each element of a memory last: enough to find every conflict that no chain of tokens orders.
///
/// Each memory has one module that writes it (load: INP and WGT; compute: ACC and OUT; store: DRAM); the others read.
/// Within a module a later access is ordered after all earlier ones, so the last one per module is all that counts.
struct AccessHistory {
  struct Conflict {
    let element: Int
    let module: ExecutionModule
    /// Of the earlier instruction in its module.
    let position: Int32
  }

  /// The accessing instruction.
  struct Accessor {
    let module: ExecutionModule
    let position: Int32
    let clock: InstructionOrder.Clock
  }

  /// What one access found.
  struct Result {
    /// Read, but never written.
    var unwritten: (first: Int, count: Int)?
    /// With an access that may not have ended.
    var conflict: Conflict?
  }

  let writer: ExecutionModule
  /// By element, then module: position + 1 of the last access; 0: none. The writer's own reads do not count.
  private var last: [SIMD4<Int32>]

  init(count: Int, writer: ExecutionModule) {
    self.writer = writer
    last = Array(repeating: .zero, count: count)
  }

  mutating func read(_ elements: Access.Elements, by accessor: Accessor) -> Result {
    var result = Result()
    let (w, m) = (writer.rawValue, accessor.module.rawValue)
    let known = accessor.clock[w]
    let isOwn = w == m
    last.withUnsafeMutableBufferPointer { last in
      elements.forEach { element in
        let write = last[element][w]
        if write == 0 {
          result.unwritten = (result.unwritten?.first ?? element, (result.unwritten?.count ?? 0) + 1)
        }
        guard !isOwn else { return }
        if write > known && result.conflict == nil {
          result.conflict = Conflict(element: element, module: writer, position: write - 1)
        }
        last[element][m] = accessor.position + 1
      }
    }
    return result
  }

  mutating func write(_ elements: Access.Elements, by accessor: Accessor) -> Result {
    var result = Result()
    let m = accessor.module.rawValue
    // Its own accesses are ordered.
    var known = accessor.clock
    known[m] = .max
    last.withUnsafeMutableBufferPointer { last in
      elements.forEach { element in
        let late = last[element] .> known
        if any(late) && result.conflict == nil {
          result.conflict = Self.conflict(element, last[element], late)
        }
        last[element][m] = accessor.position + 1
      }
    }
    return result
  }

  private static func conflict(
    _ element: Int, _ last: SIMD4<Int32>, _ late: SIMDMask<SIMD4<Int32>>
  ) -> Conflict? {
    ExecutionModule.allCases.first { late[$0.rawValue] }.map {
      Conflict(element: element, module: $0, position: last[$0.rawValue] - 1)
    }
  }
}
