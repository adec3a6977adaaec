/// Who wrote and read each element of a memory last, per module: enough to find every conflict that no chain of tokens
/// orders, because within a module a later access is ordered after all earlier ones.
struct AccessHistory {
  /// An earlier access, as the position of its instruction in its module.
  struct Access {
    let module: ExecutionModule
    let position: Int32
    let wasWrite: Bool
  }

  /// Position + 1 of the last access; 0: none. By module, then element; empty until the module has such an access.
  private var writes: [[Int32]] = [[], [], []]
  private var reads: [[Int32]] = [[], [], []]
  private let count: Int

  init(count: Int) { self.count = count }

  func isWritten(_ element: Int) -> Bool {
    for module in 0..<3 where !writes[module].isEmpty && writes[module][element] != 0 { return true }
    return false
  }

  /// Notes an access to an element; returns an earlier one by another module that conflicts and may not have ended.
  mutating func access(
    _ element: Int, isWrite: Bool, module: ExecutionModule, position: Int32, clock: InstructionOrder.Clock
  ) -> Access? {
    var conflict: Access?
    for other in ExecutionModule.allCases where other != module {
      let m = other.rawValue
      if !writes[m].isEmpty, writes[m][element] > clock[m] {
        conflict = Access(module: other, position: writes[m][element] - 1, wasWrite: true)
      } else if isWrite, !reads[m].isEmpty, reads[m][element] > clock[m] {
        conflict = Access(module: other, position: reads[m][element] - 1, wasWrite: false)
      }
    }
    let m = module.rawValue
    if isWrite {
      if writes[m].isEmpty { writes[m] = Array(repeating: 0, count: count) }
      writes[m][element] = position + 1
    } else {
      if reads[m].isEmpty { reads[m] = Array(repeating: 0, count: count) }
      reads[m][element] = position + 1
    }
    return conflict
  }
}
