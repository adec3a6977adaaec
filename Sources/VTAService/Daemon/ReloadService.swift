internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// Reads the configuration again when it is told to (SIGHUP). What can't be read changes nothing.
struct ReloadService: Service {
  let read: @Sendable () async throws -> DaemonConfiguration
  let take: @Sendable (DaemonConfiguration) async throws -> Void
  let notifier: SystemdNotifier
  let logger: Logger

  func run() async throws {
    let signals = await UnixSignalsSequence(trapping: .sighup)
    await cancelWhenGracefulShutdown {
      for await _ in signals { await reload() }
    }
  }

  func reload() async {
    notifier.reloading()
    do {
      try await take(try await read())
      logger.notice("configuration read again")
    } catch {
      logger.error("the configuration stays as it was: \(error)")
    }
    notifier.reloaded()
  }
}
