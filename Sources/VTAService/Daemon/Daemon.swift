internal import Foundation
internal import GRPCCore
internal import Glibc
package import Logging
internal import ServiceLifecycle
internal import UnixSignals
internal import VTA
package import VTARuntime

/// The daemon, put together: a device, the models on it and a socket to ask them through.
///
/// Starting is a ladder: configuration, model folder, device, socket. What fails throws before anything is logged or
/// announced, and what was opened before it is closed.
package final class Daemon: Sendable {
  package let socketPath: String
  package let counters: ServiceCounters
  private let socket: ListeningSocket
  private let devices: [DeviceWorker]
  private let group: ServiceGroup
  private let drain: Drain
  private let logger: Logger

  /// - Parameters:
  ///   - logLevel: What the logger obeys.
  ///   - simulatedBoard: Makes what is beneath the device `simulated-board:BOARD`; `nil`: there are none.
  ///   - reload: Reads the configuration again, for SIGHUP; `nil`: the signal is not handled.
  ///   - handlesSignals: SIGTERM and SIGINT begin the drain.
  ///   - announce: Called once with the socket's path when models can be asked for.
  /// - Throws: ``ServiceError`` or ``DeviceError``.
  package init(
    _ configuration: DaemonConfiguration, logger: Logger, logLevel: LogLevel,
    simulatedBoard: (@Sendable (Board) throws(DeviceError) -> any Kernel)? = nil,
    reload: (@Sendable () async throws -> DaemonConfiguration)? = nil, handlesSignals: Bool,
    announce: @escaping @Sendable (String) -> Void
  ) throws {
    // A client or a reader of our output that is gone is an error of that write, not our end.
    signal(SIGPIPE, SIG_IGN)
    Self.raiseDescriptorLimit()
    let directory = try configuration.models.map { path throws(ServiceError) in try ModelDirectory(path: path)
    }
    var options = configuration.deviceOptions
    options.simulatedBoard = simulatedBoard
    options.logger = logger
    let devices = try configuration.device.split(separator: ",").map {
      try DeviceWorker.open($0.trimmingCharacters(in: .whitespaces), options)
    }
    // Before anything is left behind.
    let live = try LiveConfiguration(configuration)
    try configuration.checkCertificates()
    let socket =
      try ListeningSocket.inherited()
      ?? ListeningSocket.create(path: configuration.socket, mode: configuration.socketMode)

    let drain = Drain()
    let notifier = SystemdNotifier()
    let connections = ConnectionRegistry()
    let counters = ServiceCounters()
    let dispatcher = Dispatcher(
      devices: devices,
      limits: .init(
        waiting: configuration.queue.requests, perUser: configuration.quota.requests,
        bytes: configuration.queue.bytes))
    let models = ModelStore(
      devices: devices, directory: directory, connections: connections, quota: configuration.quota,
      signatures: { live.signatures }, logger: logger)
    let core = InferenceProtocol(
      models: models, dispatcher: dispatcher, drain: drain, counters: counters,
      regions: SharedRegions(connections: connections), trace: TraceSettings(),
      log: LogSettings(level: logLevel), logger: logger, live: live)
    let services: [any RegistrableRPCService] = [
      InferenceService(core: core),
      HealthService(core: core, services: ["inference.GRPCInferenceService", "vta.v1.Daemon"]),
      DaemonService(
        core: core, connections: connections, modelDirectory: directory?.path ?? "",
        bitstreams: BitstreamControl(
          folder: configuration.bitstreams, models: models, dispatcher: dispatcher, logger: logger),
        started: .now),
    ]
    let memory = RequestMemory { live.requestBytes }
    let transport = { @Sendable (address: CallTransport.Address) in
      CallTransport(
        address, maximumMessageBytes: configuration.maximumMessageBytes, directly: [.modelInfer(core)],
        connections: connections, memory: memory, live: live)
    }
    let local = transport(.socket(socket.descriptor))
    let addresses = try NetworkAddresses(
      configuration: configuration, core: core, transport: transport, connections: connections,
      memory: memory, live: live, logger: logger
    ).addresses(rpc: services)
    let readiness = ReadinessService(
      listening: [{ await local.isListening }] + addresses.map(\.isListening), models: models,
      drain: drain, notifier: notifier,
      watchdog: Watchdog(
        patience: notifier.watchdogInterval ?? .seconds(1),
        stuckDevices: { dispatcher.stuckDevices(grace: notifier.watchdogInterval ?? .seconds(1)) },
        callOneself: {}, notifyAlive: notifier.alive, logger: logger),
      socket: socket.path,
      announce: {
        notifier.ready(status: "serving on \(socket.path)")
        announce(socket.path)
      })
    let take = { @Sendable (new: DaemonConfiguration) async throws in
      try live.take(new)
      await models.change(quota: new.quota)
      dispatcher.limits = .init(
        waiting: new.queue.requests, perUser: new.quota.requests, bytes: new.queue.bytes)
      logLevel.value = new.logLevel
      for key in configuration.keysForRestart(differingFrom: new) {
        logger.warning("the key '\(key)' has changed; it takes effect when vtad starts again")
      }
    }
    // Stopped from the last to the first, so that systemd sees signs of life until the last call is done.
    var group = ServiceGroupConfiguration(
      services: [
        readiness, ServingService(server: GRPCServer(transport: local, services: services)),
      ]
        + addresses.map(\.service)
        + (reload.map { [ReloadService(read: $0, take: take, notifier: notifier, logger: logger)] } ?? [])
        + [DrainService(drain: drain, counters: counters, notifier: notifier, logger: logger)],
      gracefulShutdownSignals: handlesSignals ? [.sigterm, .sigint] : [],
      logger: Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() })
    group.maximumGracefulShutdownDuration = configuration.drainLimit

    self.socketPath = socket.path
    self.counters = counters
    self.socket = socket
    self.devices = devices
    self.group = ServiceGroup(configuration: group)
    self.drain = drain
    self.logger = logger
  }

  /// Serves until it is told to stop.
  /// - Throws: If it could not serve, or calls were still running when the drain had to end.
  package func run() async throws {
    for device in devices {
      logger.notice("device \(device.description.name)", metadata: metadata(of: device.description))
    }
    do {
      try await group.run()
    } catch {
      await close()
      guard drain.hasBegun else { throw ServiceError(.internal, "can't serve on \(socketPath): \(error)") }
      throw ServiceError(.deadlineExceeded, "calls were still running when the time to finish them was over")
    }
    await close()
    logger.info("stopped")
  }

  /// Begins the drain.
  package func stop() async {
    await group.triggerGracefulShutdown()
  }

  /// A descriptor per connection and region is more than the usual limit for programs that may use select(2).
  private static func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = min(limit.rlim_max, 65_536)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  private func close() async {
    socket.removeFile()
    for device in devices { await device.shutdown() }
  }

  private func metadata(of device: DeviceDescription) -> Logger.Metadata {
    var metadata: Logger.Metadata = ["kind": "\(device.kind.rawValue)"]
    if let target = device.target { metadata["target"] = "\(target.description)" }
    if let note = device.note { metadata["note"] = "\(note)" }
    if let hardware = device.hardware {
      metadata["board"] = "\(hardware.board)"
      metadata["registers"] = "\(hardware.registers)"
      metadata["memory"] = "\(hardware.memory)"
      metadata["coherency"] = "\(hardware.coherency.rawValue)"
    }
    return metadata
  }
}
