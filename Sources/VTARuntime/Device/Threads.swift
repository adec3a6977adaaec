private import Glibc

/// A counting semaphore of the C library.
final class Semaphore: Sendable {
  // SAFETY: the pointer is set once; sem_t may be used from any thread.
  private nonisolated(unsafe) let semaphore: UnsafeMutablePointer<sem_t>

  init() {
    semaphore = .allocate(capacity: 1)
    sem_init(semaphore, 0, 0)
  }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  func signal() { sem_post(semaphore) }

  func wait() {
    while sem_wait(semaphore) != 0 {}  // interrupted by a signal handler
  }
}

/// - Returns: 0 or the error code of pthread_create.
func startThread(_ body: @escaping @Sendable () -> Void) -> Int32 {
  final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  let box = Unmanaged.passRetained(Box(body))
  var thread = pthread_t()
  let code = pthread_create(
    &thread, nil,
    { context in
      guard let context else { return nil }
      Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  if code != 0 { box.release() } else { pthread_detach(thread) }
  return code
}
