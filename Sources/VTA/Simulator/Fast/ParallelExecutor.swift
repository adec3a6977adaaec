/// Cores that the fast simulator may use. The simulator starts no threads of its own.
package protocol ParallelExecutor: AnyObject {
  /// At least 1.
  var width: Int { get }
  /// Calls `body` with 0, and at the same time with those of 1 ..< ``width`` whose threads come in time; returns when all
  /// of these calls have ended.
  func perform(_ body: (Int) -> Void)
  /// Lets something else have the core: what the caller waits for takes longer than it should.
  func yield()
}
