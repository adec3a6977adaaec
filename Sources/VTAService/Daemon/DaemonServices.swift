internal import GRPCCore
internal import Logging
internal import ServiceLifecycle
internal import Synchronization

/// Answers calls. On shutdown it accepts no more and lets those that run finish.
struct ServingService<Transport: ServerTransport>: Service {
  let server: GRPCServer<Transport>

  func run() async throws {
    try await withGracefulShutdownHandler {
      try await server.serve()
    } onGracefulShutdown: {
      server.beginGracefulShutdown()
    }
  }
}

/// The first to learn of a shutdown: says so to everybody else.
struct DrainService: Service {
  let drain: Drain
  let counters: ServiceCounters
  let notifier: SystemdNotifier
  let logger: Logger

  func run() async throws {
    try await gracefulShutdown()
    drain.begin()
    notifier.stopping()
    let running = counters.running.load(ordering: .relaxed)
    logger.info("stopping", metadata: ["running": "\(running)"])
  }
}

/// Reads the models, tells the world that the daemon is ready, and then keeps telling systemd that it is alive.
struct ReadinessService: Service {
  /// Each returns when one of the listeners is there, or `false` when it never will be.
  let listening: [@Sendable () async -> Bool]
  let models: ModelStore
  let drain: Drain
  let notifier: SystemdNotifier
  let watchdog: Watchdog
  let socket: String
  let announce: @Sendable () -> Void

  func run() async throws {
    await cancelWhenGracefulShutdown {
      if await everybodyListens() {
        await models.scan()
        if !Task.isCancelled && !drain.hasBegun { announce() }
      }
      // If somebody never will listen, the group ends, and this with it.
      await beat()
    }
  }

  private func everybodyListens() async -> Bool {
    for isListening in listening where await !isListening() { return false }
    return true
  }

  private func beat() async {
    guard let interval = notifier.watchdogInterval else {
      // Nobody listens; only the end of the group ends this service.
      try? await Task.sleep(for: .seconds(86_400 * 365 * 100))
      return
    }
    while !Task.isCancelled {
      // A connection that breaks is made again; meanwhile there is no sign of life.
      try? await SelfCall(socket: socket).connected { health in
        var watchdog = watchdog
        watchdog.callOneself = health
        while await watchdog.beat() { try? await Task.sleep(for: interval) }
      }
      try? await Task.sleep(for: interval)
    }
  }
}
