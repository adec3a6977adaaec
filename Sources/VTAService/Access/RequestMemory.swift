internal import Synchronization

/// How much memory the requests of each user take, from their arrival to their answer, decompressed if they are compressed.
final class RequestMemory: Sendable {
  /// Requests up to this size are not counted: their number is bounded by that of connections and calls.
  static let smallBytes = 1 << 16

  private let taken = Mutex<[Caller.User: Int]>([:])
  private let limit: @Sendable () -> Int

  /// - Parameter limit: Bytes of one user.
  init(limit: @escaping @Sendable () -> Int) { self.limit = limit }

  /// What one request takes of it; given back when nobody has it any more.
  final class Share: Sendable {
    private let memory: RequestMemory
    private let user: Caller.User
    private let bytes = Mutex(0)

    init(of memory: RequestMemory, for user: Caller.User) {
      self.memory = memory
      self.user = user
    }

    deinit { memory.giveBack(bytes.withLock { $0 }, of: user) }

    /// - Throws: ``ServiceError`` if that is more than the user may take. One request may take as much as a message may have
    ///   if the user has no others.
    func grow(to size: Int) throws(ServiceError) {
      guard size > RequestMemory.smallBytes else { return }
      try bytes.withLock { bytes throws(ServiceError) in
        guard size > bytes else { return }
        try memory.take(size - bytes, besides: bytes, for: user)
        bytes = size
      }
    }

    /// How large the request may become.
    /// - Parameter maximum: Of any request.
    func room(upTo maximum: Int) -> Int {
      bytes.withLock { memory.room(upTo: maximum, besides: $0, for: user) }
    }

    /// Why it may not become larger than ``room(upTo:)``.
    var refusal: ServiceError { RequestMemory.refusal(user, memory.bytes(of: user), memory.limit()) }

    /// What else the request takes, a further message for one.
    func grow(by size: Int) throws(ServiceError) {
      guard size > RequestMemory.smallBytes else { return }
      try bytes.withLock { bytes throws(ServiceError) in
        try memory.take(size, besides: bytes, for: user)
        bytes += size
      }
    }

    /// The opposite of ``grow(by:)``.
    func shrink(by size: Int) {
      guard size > RequestMemory.smallBytes else { return }
      bytes.withLock { bytes in
        memory.giveBack(size, of: user)
        bytes -= size
      }
    }
  }

  func bytes(of user: Caller.User) -> Int { taken.withLock { $0[user] ?? 0 } }

  /// - Parameter own: What the request has taken already.
  private func take(_ size: Int, besides own: Int, for user: Caller.User) throws(ServiceError) {
    let limit = limit()
    try taken.withLock { taken throws(ServiceError) in
      let before = taken[user] ?? 0
      guard before == own || before + size <= limit else { throw Self.refusal(user, before, limit) }
      taken[user] = before + size
    }
  }

  private func room(upTo maximum: Int, besides own: Int, for user: Caller.User) -> Int {
    let limit = limit()
    return taken.withLock { taken in
      let others = (taken[user] ?? 0) - own
      return others == 0 ? maximum : max(Self.smallBytes, min(maximum, limit - others))
    }
  }

  private static func refusal(_ user: Caller.User, _ taken: Int, _ limit: Int) -> ServiceError {
    ServiceError(
      .resourceExhausted,
      "the requests of \(user) take \(taken) bytes of memory already, and one more is over the \(limit) that they may take "
        + "(the key quota.request_bytes); wait for answers")
  }

  private func giveBack(_ size: Int, of user: Caller.User) {
    guard size > 0 else { return }
    taken.withLock { taken in
      let left = (taken[user] ?? 0) - size
      taken[user] = left > 0 ? left : nil
    }
  }
}
