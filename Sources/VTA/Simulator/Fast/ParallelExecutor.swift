/// Cores that the fast simulator may use. The simulator starts no threads of its own.
package protocol ParallelExecutor: AnyObject {
  /// At least 1.
  var width: Int { get }
  /// Calls `body` with 0 ..< ``width``, at the same time, and returns when all have ended.
  func perform(_ body: (Int) -> Void)
}
